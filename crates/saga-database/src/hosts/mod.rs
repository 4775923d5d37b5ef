//! The servers of a database, of which one is used: at the start, and again after a failover.
//!
//! *Data:* the addresses, which do not change, and the server that is used ([`Chosen`]). *Invariant:* all sessions that
//! a program works with are on that server, on its cluster and on its timeline. *Who changes it:* only
//! [`Hosts::choose`], which a task repeats every second; it never goes back to an earlier timeline. Whoever holds
//! sessions drops them when the choice changes ([`Hosts::unless_moved`]). See docs/adr/0027.

mod address;
mod choice;
mod role;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use sea_orm::sqlx::{self, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{sleep, timeout},
};

use choice::{Chosen, Refusal};
use role::Role;

pub(crate) use address::{AddressError, split};
pub(crate) use choice::{Need, advice};

/// Time limit for opening a session (name lookup, TCP, TLS and the handshake), and for the first query on it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for a server that is asked again, so that one that hangs does not delay the choice of another.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause between two choices.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause while no server can be used, so that a promoted one is found soon.
const SHORT_PAUSE: Duration = Duration::from_millis(250);

/// The servers of a database. Clones share the choice.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hosts: Vec<Host>,
    need: Need,
    chosen: watch::Sender<Option<Chosen>>,
    /// Whether commits on the chosen server wait for a synchronous standby.
    commits_wait: watch::Sender<bool>,
    /// Wakes the task that repeats the choice.
    doubt: Notify,
    /// Open sessions for asking, one for each server. The lock also makes the choices one after the other.
    sessions: Mutex<Vec<Option<PgConnection>>>,
}

#[derive(Debug)]
struct Host {
    options: PgConnectOptions,
    /// `host:port`, for messages.
    name: String,
}

/// None of the servers can be used. The text names each with its reason, without a password.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct NoHost {
    pub(crate) why: String,
    pub(crate) advice: &'static str,
}

impl Hosts {
    /// `servers` has at least one element.
    pub(crate) fn new(servers: Vec<PgConnectOptions>, need: Need) -> Self {
        let host = |options: PgConnectOptions| Host { name: name(&options), options };
        let hosts: Vec<Host> = servers.into_iter().map(host).collect();
        let sessions = Mutex::new(hosts.iter().map(|_| None).collect());
        let (chosen, commits_wait) = (watch::Sender::new(None), watch::Sender::new(false));
        Self(Arc::new(Inner { hosts, need, chosen, commits_wait, doubt: Notify::new(), sessions }))
    }

    /// Returns how to connect to the chosen server, or to the first one if none was chosen yet.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        let chosen = self.0.chosen.borrow().map_or(0, |chosen| chosen.host);
        &self.0.hosts[chosen].options
    }

    /// Returns whether commits wait for a synchronous standby.
    pub(crate) fn commits_wait(&self) -> watch::Receiver<bool> {
        self.0.commits_wait.subscribe()
    }

    /// Resolves when the choice has changed since this was called.
    pub(crate) fn moved(&self) -> impl Future<Output = ()> + use<> {
        let mut chosen = self.0.chosen.subscribe();
        async move {
            // It cannot fail while somebody uses the sessions, because `Server` has the sender.
            let _ = chosen.changed().await;
        }
    }

    /// Runs `work` on sessions of the chosen server, and ends it when the choice changes.
    pub(crate) async fn unless_moved<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        tokio::select! {
            done = work => done,
            () = self.moved() => Err(sqlx::Error::Io(std::io::Error::other("another database server is used now"))),
        }
    }

    /// Opens a session on the chosen server.
    pub(crate) async fn session(&self) -> Result<PgConnection, sqlx::Error> {
        within(CONNECT_TIMEOUT, async {
            let mut session = PgConnection::connect_with(self.options()).await?;
            self.admit(&mut session).await?;
            Ok(session)
        })
        .await
    }

    /// Checks that a new session is on the chosen server: its address may lead to another one by now.
    pub(crate) async fn admit(&self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        let role = role::ask(session).await?;
        let admitted = match *self.0.chosen.borrow() {
            Some(chosen) => choice::admit(&role, chosen, self.0.need),
            None => Ok(()),
        };
        admitted.map_err(|refusal| {
            self.0.doubt.notify_one();
            sqlx::Error::Configuration(refusal.into())
        })
    }

    /// Asks all servers and chooses one. If none can be used, the choice stays as it was.
    pub(crate) async fn choose(&self) -> Result<(), NoHost> {
        self.choose_within(CONNECT_TIMEOUT).await
    }

    async fn choose_within(&self, limit: Duration) -> Result<(), NoHost> {
        let mut sessions = self.0.sessions.lock().await;
        let ask = |(host, session)| within(limit, ask(host, session));
        let answers = join_all(self.0.hosts.iter().zip(&mut *sessions).map(ask)).await;
        let waiting: Vec<bool> = answers.iter().map(|role| role.as_ref().is_ok_and(|role| role.commits_wait)).collect();
        let before = *self.0.chosen.borrow();
        let chosen = choice::choose(answers, before, self.0.need).map_err(|refusals| self.no_host(&refusals));
        let waits = |chosen: &Chosen| waiting.get(chosen.host).is_some_and(|waits| *waits);
        let commits_wait = chosen.as_ref().is_ok_and(waits);
        self.0.commits_wait.send_if_modified(|before| std::mem::replace(before, commits_wait) != commits_wait);
        let chosen = chosen?;
        if before != Some(chosen) {
            self.0.chosen.send_replace(Some(chosen));
            if before.is_some() {
                let server = &self.0.hosts[chosen.host].name;
                tracing::warn!(server, timeline = chosen.timeline, "another database server is used from now on");
            }
        }
        Ok(())
    }

    /// Repeats the choice until it is dropped.
    pub(crate) async fn keep_choosing(&self) {
        let mut unusable = None;
        loop {
            let pause = if unusable.is_some() { SHORT_PAUSE } else { PAUSE };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.0.doubt.notified() => {
                    // Somebody has met another server at an address where these sessions may still be on the old one.
                    self.0.sessions.lock().await.fill_with(|| None);
                    sleep(SHORT_PAUSE).await;
                }
            }
            match self.choose_within(ANSWER_TIMEOUT).await {
                Ok(()) => {
                    if unusable.take().is_some() {
                        tracing::info!("a database server can be used again");
                    }
                }
                Err(NoHost { why, advice }) => {
                    if unusable.as_ref() != Some(&why) {
                        tracing::warn!(why, advice, "no database server can be used");
                    }
                    unusable = Some(why);
                }
            }
        }
    }

    /// Closes the sessions for asking.
    pub(crate) async fn close(&self) {
        for session in self.0.sessions.lock().await.iter_mut().filter_map(Option::take) {
            let _ = timeout(ANSWER_TIMEOUT, session.close()).await;
        }
    }

    fn no_host(&self, refusals: &[Refusal]) -> NoHost {
        let advice = refusals.first().map_or("see DATABASE_URL", Refusal::advice);
        if let [refusal] = refusals {
            return NoHost { why: refusal.to_string(), advice };
        }
        let same = refusals.iter().all(|refusal| refusal.advice() == advice);
        let each = self.0.hosts.iter().zip(refusals).map(|(host, refusal)| format!("{}: {refusal}", host.name));
        let why = each.collect::<Vec<_>>().join("; ");
        NoHost { why, advice: if same { advice } else { "start or promote one of them" } }
    }
}

fn name(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Asks a server over its session, which is opened if there is none, and dropped after an error.
async fn ask(host: &Host, session: &mut Option<PgConnection>) -> Result<Role, sqlx::Error> {
    let mut open = match session.take() {
        Some(open) => open,
        None => PgConnection::connect_with(&host.options).await?,
    };
    let role = role::ask(&mut open).await?;
    *session = Some(open);
    Ok(role)
}

async fn within<T>(limit: Duration, query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let no_answer = || sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer"));
    timeout(limit, query).await.unwrap_or_else(|_| Err(no_answer()))
}
