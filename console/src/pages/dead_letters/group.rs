use std::collections::BTreeMap;

use service_host::admin::DeadLetterSummaryView;
use sha2::{Digest as _, Sha256};
use shared_events::Service;
use uuid::Uuid;

/// Dead letters of the same service, event and reason.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) service: Service,
    /// The name of the event, if it could be read.
    pub(super) event: Option<String>,
    /// The reason, with `…` in place of ids and numbers.
    pub(super) reason: String,
    /// Oldest first; there is at least one.
    pub(super) letters: Vec<DeadLetterSummaryView>,
}

impl Group {
    /// Returns the groups of these dead letters, largest first.
    pub(super) fn all(service: Service, letters: Vec<DeadLetterSummaryView>) -> Vec<Self> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for letter in letters {
            groups.entry((letter.event.clone(), without_ids(&letter.reason))).or_default().push(letter);
        }
        let mut groups: Vec<Self> = groups
            .into_iter()
            .map(|((event, reason), mut letters)| {
                letters.sort_by_key(|letter| (letter.dead_lettered_at, letter.message_id));
                Self { service, event, reason, letters }
            })
            .collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.letters.len()));
        groups
    }

    /// Returns its id, which is the same as long as it exists.
    pub(super) fn id(&self) -> String {
        let event = self.event.as_deref().unwrap_or_default();
        let hash = Sha256::digest(format!("{}\n{event}\n{}", self.service, self.reason));
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns the address of its page.
    pub(super) fn path(&self) -> String {
        format!("/dead-letters/{}/groups/{}", self.service, self.id())
    }
}

/// Returns the reason with `…` in place of UUIDs and numbers, so that it is the same for different messages.
fn without_ids(reason: &str) -> String {
    let (mut text, mut word) = (String::with_capacity(reason.len()), String::new());
    // The additional character ends the last word.
    for character in reason.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() || character == '-' {
            word.push(character);
            continue;
        }
        let is_id =
            !word.is_empty() && (word.bytes().all(|byte| byte.is_ascii_digit()) || Uuid::try_parse(&word).is_ok());
        text.push_str(if is_id { "…" } else { &word });
        word.clear();
        text.push(character);
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use shared_events::Timestamp;

    use super::*;

    fn letter(reason: &str, event: Option<&str>, at: i64) -> DeadLetterSummaryView {
        DeadLetterSummaryView {
            message_id: Uuid::now_v7(),
            reason: reason.to_owned(),
            attempts: 1,
            event: event.map(str::to_owned),
            subject: None,
            dead_lettered_at: Timestamp::from_unix_micros(at),
            size: 1,
        }
    }

    #[test]
    fn ids_and_numbers_do_not_make_another_reason() {
        for (reason, text) in [
            ("order 17 has no stock", "order … has no stock"),
            ("not JSON (message_id 01936d5e-7b00-7000-8000-000000000001)", "not JSON (message_id …)"),
            ("delivered more than 20 times", "delivered more than … times"),
            ("SKU-7 is unknown: version v2", "SKU-7 is unknown: version v2"),
            ("17", "…"),
            ("", ""),
            ("größer als 5 – 7", "größer als … – …"),
        ] {
            assert_eq!(without_ids(reason), text);
        }
    }

    #[test]
    fn a_group_has_one_event_and_one_reason_and_the_oldest_is_first() {
        let letters = vec![
            letter("order 1 failed", Some("A"), 30),
            letter("order 2 failed", Some("A"), 10),
            letter("order 3 failed", Some("B"), 20),
            letter("order 4 failed", None, 20),
            letter("another reason", Some("A"), 20),
        ];
        let groups = Group::all(Service::Order, letters);
        assert_eq!(groups.iter().map(|group| group.letters.len()).collect::<Vec<_>>(), [2, 1, 1, 1]);
        assert_eq!(groups[0].letters[0].reason, "order 2 failed");
        let ids: std::collections::HashSet<_> = groups.iter().map(Group::id).collect();
        assert_eq!(ids.len(), 4);
        let elsewhere = Group::all(Service::Payment, vec![letter("order 1 failed", Some("A"), 30)]);
        assert!(!ids.contains(&elsewhere[0].id()));
    }
}
