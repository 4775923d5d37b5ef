use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures::FutureExt;
use opentelemetry::{global::BoxedSpan, trace::Span as _};
use saga_database::{
    Database, Fault, Writes, adopt_system_id, count_attempt, insert_new, limit_lock_wait,
    tables::{dead_letter, inbox, outbox},
    take_dead_letters,
};
use saga_message::{Header, Message, MessageId, SystemId};
use sea_orm::{DatabaseTransaction, DbErr};
use uuid::Uuid;

use super::{
    Decision, Input, Participant, Reply, Unacceptable, batch::Batch, messages::Messages, pending::Pending,
    redrive::DeadLetterAgain,
};
use crate::{
    broker::Outgoing,
    identity::SystemIdentity,
    trace::{MessageSpans, OpenSpan, traceparent},
};

/// What remains to be done after a batch is committed.
pub(super) struct Committed<P: Participant> {
    /// The reply for each command. `None` for a message.
    pub(super) replies: Vec<Option<Reply>>,
    pub(super) outgoing: Vec<Outgoing>,
    /// How many confirmed messages were deleted from the outbox. One that was published twice is deleted, and counted,
    /// once.
    pub(super) deleted: u64,
    pub(super) follow_ups: Vec<P::Command>,
    /// The ids of the dead letters that were to be deleted and existed.
    pub(super) taken: HashSet<Uuid>,
    /// For each dead letter that still cannot be handled, whether it still exists.
    pub(super) still_there: Vec<bool>,
    pub(super) state: Option<P::State>,
    /// The system that the database belongs to, if it is known now.
    pub(super) system_id: Option<SystemId>,
    /// How many events became dead letters.
    pub(super) dead_lettered: usize,
    /// The indices of what was handled; the other messages had been handled before.
    pub(super) handled: Vec<usize>,
    /// The spans of the published events. They are marked as rolled back, unless they are ended.
    pub(super) created: Vec<OpenSpan>,
}

/// How a batch is handled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The most events in one published message.
    pub(super) max_events: usize,
    /// How long to wait for each lock, instead of the session's own limit.
    pub(super) lock_wait: Option<Duration>,
    /// Only attempt it, with this many of the events of each message, and roll it back.
    pub(super) attempt: Option<usize>,
}

/// Why a batch was not committed. Nothing of it is in the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The input at this position of the command or message `index` is invalid.
    #[error("{reason}")]
    Unacceptable { index: usize, position: usize, reason: String },
    /// Some events of the batch belong to another system than the database.
    #[error("events of another system than {own}")]
    Foreign { own: SystemId },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl Failure {
    /// Returns whether another attempt with the same inputs would fail in the same way; unless the cause is a message
    /// that was assumed to be new, but was handled long ago.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Unacceptable { .. } => true,
            Self::Foreign { .. } => false,
            Self::Database(error) => matches!(Fault::of(error), Fault::UniqueViolation | Fault::Permanent),
        }
    }
}

/// Time limit for a batch; after that the database counts as unavailable. It is far longer than the slowest disk needs,
/// and longer than the server's own limits for locks and idle sessions.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Handles a whole batch in one transaction. A panic of the participant is a bug and is treated like a permanent error,
/// so that it does not end the engine and affect the other inputs.
pub(super) async fn commit_catching<P: Participant>(
    participant: &P,
    database: &Database,
    identity: &SystemIdentity,
    spans: &MessageSpans,
    batch: &Batch<P>,
    limits: Limits,
) -> Result<Committed<P>, Failure> {
    let committed = async {
        let committed = commit(participant, database, identity, spans, batch, limits);
        let committed = AssertUnwindSafe(committed).catch_unwind().await;
        let panicked = || DbErr::Custom("loading or saving panicked; see the log".to_owned());
        committed.unwrap_or_else(|_| Err(panicked().into()))
    };
    // If it was committed although this reports a timeout, the broker delivers again, and the inbox and the unique keys
    // reject what is there already.
    database.with_timeout(TIMEOUT, committed).await
}

async fn commit<P: Participant>(
    participant: &P,
    database: &Database,
    identity: &SystemIdentity,
    spans: &MessageSpans,
    batch: &Batch<P>,
    limits: Limits,
) -> Result<Committed<P>, Failure> {
    let transaction = database.begin().await?;
    if let Some(lock_wait) = limits.lock_wait {
        limit_lock_wait(&transaction, lock_wait).await?;
    }
    let system_id = system_of(&transaction, identity, batch).await?;
    // This comes first, because it keeps other replicas from redriving the same message. If it is rolled back, the dead
    // letter stays as it was.
    let taken = take_dead_letters(&transaction, to_be_taken(batch)).await?;
    let (mut writes, mut state) = (Writes::default(), None);
    let to_handle = to_be_handled(&transaction, batch, &taken, &mut writes).await?;
    let inputs: Vec<(usize, usize, &Input<P>)> = to_handle
        .iter()
        .flat_map(|&index| {
            let inputs = batch.inputs[index].inputs.iter().take(limits.attempt.unwrap_or(usize::MAX));
            inputs.enumerate().map(move |(position, input)| (index, position, input))
        })
        .collect();

    let mut replies: Vec<Option<Reply>> = batch.inputs.iter().map(|_| None).collect();
    let mut published = Messages::new(limits.max_events);
    let (mut follow_ups, mut created) = (Vec::new(), Vec::new());
    if !inputs.is_empty() {
        let all: Vec<&Input<P>> = inputs.iter().map(|&(_, _, input)| input).collect();
        let mut rows = participant.load(&transaction, &all).await?;
        for (index, position, input) in inputs {
            let decision = decide(participant, &mut rows, input)
                .map_err(|Unacceptable(reason)| Failure::Unacceptable { index, position, reason })?;
            replies[index] = decision.reply;
            for event in decision.events {
                let create = spans.create(input.cause.traceparent.as_deref());
                let message = P::Message::new(header(input, system_id, create.as_ref()), event);
                participant.on_published(&mut rows, &message);
                published.add(&message);
                created.extend(spans.created(create, &message));
            }
            follow_ups.extend(decision.follow_ups);
        }
        participant.save(&mut rows, &mut writes)?;
        state = Some(rows);
    }

    let (outgoing, rows): (Vec<Outgoing>, Vec<outbox::Model>) = published.finish().into_iter().unzip();
    let dead_lettered: Vec<dead_letter::Model> =
        to_handle.iter().flat_map(|&index| batch.inputs[index].dead_lettered.iter().cloned()).collect();
    let confirmed = batch.confirmed.iter().map(|message| message.0.into()).collect();
    writes
        .insert::<outbox::Entity>(&rows)
        .insert_missing::<dead_letter::Entity>(&dead_lettered)
        .delete::<outbox::Entity>(outbox::Column::MessageId, confirmed);
    let deleted = writes.run(&transaction).await?;
    let mut still_there = Vec::with_capacity(batch.dead_lettered_again.len());
    for DeadLetterAgain { redrive, reason } in &batch.dead_lettered_again {
        still_there.push(count_attempt(&transaction, redrive.message_id, reason).await?);
    }
    match limits.attempt {
        Some(_) => transaction.rollback().await?,
        None => transaction.commit().await?,
    }
    let dead_lettered = dead_lettered.len();
    Ok(Committed {
        replies,
        outgoing,
        deleted,
        follow_ups,
        taken,
        still_there,
        state,
        system_id,
        dead_lettered,
        handled: to_handle,
        created,
    })
}

/// Returns the system that the database belongs to. If it belongs to none yet, it is assigned to the system of the
/// first event that contains one, in the transaction that handles this event.
async fn system_of<P: Participant>(
    transaction: &DatabaseTransaction,
    identity: &SystemIdentity,
    batch: &Batch<P>,
) -> Result<Option<SystemId>, Failure> {
    let mut system_ids = batch.inputs.iter().filter_map(Pending::system_id);
    let own = match (identity.own(), system_ids.clone().next()) {
        (Some(own), _) => own,
        (None, Some(first)) => adopt_system_id(transaction, first).await?,
        (None, None) => return Ok(None),
    };
    if system_ids.all(|theirs| theirs == own) { Ok(Some(own)) } else { Err(Failure::Foreign { own }) }
}

/// Returns the ids of the dead letters that the batch handles or discards.
fn to_be_taken<P: Participant>(batch: &Batch<P>) -> Vec<Uuid> {
    let handled = batch.inputs.iter().filter_map(|pending| pending.origin.dead_letter());
    handled.chain(batch.discarded.iter().map(|discard| discard.message_id)).collect()
}

/// Enters the batch's messages in the inbox, and returns the indices of what is to be handled: the commands, and each
/// message that was not in the inbox before, once. (Unless `check_inbox_first` is set, all messages count as new, and
/// `writes` fails if one is not.) A dead letter that another transaction has deleted is left out.
async fn to_be_handled<P: Participant>(
    transaction: &DatabaseTransaction,
    batch: &Batch<P>,
    taken: &HashSet<Uuid>,
    writes: &mut Writes,
) -> Result<Vec<usize>, DbErr> {
    let is_ours = |pending: &Pending<P>| pending.origin.dead_letter().is_none_or(|id| taken.contains(&id));
    let mut rows: Vec<inbox::Model> = batch
        .inputs
        .iter()
        .filter(|pending| is_ours(pending))
        .filter_map(|pending| Some((pending.inbox_id()?, pending.received_at()?)))
        .map(|(id, at)| inbox::Model { message_id: id.0, received_at: at.unix_micros() })
        .collect();
    // Two replicas that enter the same messages must do so in the same order, or they deadlock.
    rows.sort_unstable_by_key(|row| row.message_id);
    rows.dedup_by_key(|row| row.message_id);
    let new: Vec<Uuid> = if batch.check_inbox_first {
        insert_new::<inbox::Entity, _, _>(transaction, &rows).await?
    } else {
        writes.insert::<inbox::Entity>(&rows);
        rows.iter().map(|row| row.message_id).collect()
    };
    let mut new: HashSet<MessageId> = new.into_iter().map(MessageId).collect();
    let mut is_first = |pending: &Pending<P>| pending.inbox_id().is_none_or(|id| new.remove(&id));
    let inputs = batch.inputs.iter().enumerate().filter(|(_, pending)| is_ours(pending));
    Ok(inputs.filter(|(_, pending)| is_first(pending)).map(|(index, _)| index).collect())
}

/// A decision that panics is a bug, and must not end the engine or affect the other inputs.
fn decide<P: Participant>(
    participant: &P,
    state: &mut P::State,
    input: &Input<P>,
) -> Result<Decision<P>, Unacceptable> {
    // The state is dropped with the batch after a panic, so nothing sees it half changed.
    catch_unwind(AssertUnwindSafe(|| participant.decide(state, input)))
        .unwrap_or_else(|_| Err(Unacceptable("the decision panicked; see the log".to_owned())))
}

/// Returns the header of an event that `input` causes. Its trace goes on with the event's own span, if there is one.
fn header<P: Participant>(input: &Input<P>, system_id: Option<SystemId>, create: Option<&BoxedSpan>) -> Header {
    Header {
        id: MessageId(Uuid::now_v7()),
        time: input.at,
        causation_id: input.cause.id,
        system_id,
        traceparent: create.map(|span| traceparent(span.span_context())).or_else(|| input.cause.traceparent.clone()),
    }
}
