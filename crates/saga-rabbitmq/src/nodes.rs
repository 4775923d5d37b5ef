//! The nodes of a broker: which one a connection tries first, and the error if none can be used.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use lapin::uri::AMQPUri;

use super::{failure::BrokerFailure, settings::address};
use saga_runtime::broker::BrokerError;

/// The nodes of one broker; at least one. `Debug` omits the passwords.
pub(crate) struct Nodes {
    uris: Vec<AMQPUri>,
    /// The node that the next connection tries first. It begins at a random one, so that the processes spread over the
    /// nodes, and advances with each connection, so that those of one process do.
    next: AtomicUsize,
}

impl Nodes {
    pub(crate) fn new(uris: Vec<AMQPUri>) -> Self {
        let next = AtomicUsize::new(fastrand::usize(..uris.len().max(1)));
        Self { uris, next }
    }

    pub(crate) fn has_several(&self) -> bool {
        self.uris.len() > 1
    }

    /// Returns all nodes in the order in which a connection tries them.
    pub(crate) fn in_turn(&self) -> impl Iterator<Item = &AMQPUri> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.uris.len().max(1);
        self.uris.iter().cycle().skip(first).take(self.uris.len())
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.uris.iter().map(address)).finish()
    }
}

/// Returns the error of a connection that tried these nodes. If an operator has to do something about one of them, that
/// is the error, and the other nodes are mentioned.
pub(crate) fn unavailable(mut failed: Vec<(String, BrokerFailure)>) -> BrokerError {
    let wrong = failed.iter().position(|(_, failure)| matches!(failure, BrokerFailure::Wrong { .. }));
    let (first, failure) = failed.remove(wrong.unwrap_or(0));
    let others = failed.iter().map(|(address, failure)| format!("; {address}: {failure}")).collect::<String>();
    match failure {
        BrokerFailure::Lost(why) => BrokerFailure::Lost(why + &others),
        BrokerFailure::Failed(why) => BrokerFailure::Failed(why + &others),
        BrokerFailure::Wrong { wrong, remedy } => BrokerFailure::Wrong { wrong: wrong + &others, remedy },
    }
    .at(&first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn nodes(hosts: &[&str]) -> Nodes {
        Nodes::new(hosts.iter().map(|host| format!("amqp://order:secret@{host}").parse().unwrap()).collect())
    }

    fn hosts(nodes: &Nodes) -> Vec<&str> {
        nodes.in_turn().map(|uri| &*uri.authority.host).collect()
    }

    #[test]
    fn each_connection_tries_all_nodes_and_begins_at_the_next_one() {
        let nodes = nodes(&["a", "b", "c"]);
        let tried: Vec<Vec<&str>> = (0..3).map(|_| hosts(&nodes)).collect();
        let first: BTreeSet<&str> = tried.iter().map(|tried| tried[0]).collect();
        assert_eq!(first.len(), 3, "{tried:?}");
        for tried in tried {
            assert_eq!(tried.iter().collect::<BTreeSet<_>>().len(), 3, "{tried:?}");
        }
        assert_eq!(hosts(&self::nodes(&["a"])), ["a"]);
    }

    #[test]
    fn processes_begin_at_different_nodes() {
        let first: BTreeSet<String> = (0..200).map(|_| hosts(&nodes(&["a", "b", "c"]))[0].to_owned()).collect();
        assert_eq!(first.len(), 3);
    }

    #[test]
    fn the_error_names_each_node_and_what_to_do() {
        let lost = |address: &str, why: &str| (address.to_owned(), BrokerFailure::Lost(why.to_owned()));
        let wrong = BrokerFailure::Wrong { wrong: "no such vhost".to_owned(), remedy: "create it" };
        assert_eq!(
            unavailable(vec![lost("a", "refused"), lost("b", "no answer")]),
            BrokerError::Unreachable("a: refused; b: no answer".to_owned())
        );
        let error = unavailable(vec![lost("a", "refused"), ("b".to_owned(), wrong), lost("c", "reset")]);
        let text = error.to_string();
        assert_eq!(text, "the broker b cannot be used: no such vhost; a: refused; c: reset; create it");
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(format!("{:?}", nodes(&["a", "b"])), r#"["amqp://order@a:5672/%2F", "amqp://order@b:5672/%2F"]"#);
    }
}
