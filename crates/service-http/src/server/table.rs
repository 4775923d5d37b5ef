use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use tokio::task::{AbortHandle, Id};

use super::{
    activity::{Activity, State},
    limits::ConnectionLimits,
    metrics::{ConnectionMetrics, Limit, Reason},
};

/// The open connections of a listener. If one is needed and all are taken, one that waits for a request makes room,
/// first those that have sent few: whoever sends requests keeps its connections, and whoever only occupies them does
/// not. A client that has as many as it may have makes room for itself.
#[derive(Debug)]
pub(super) struct Table {
    limits: ConnectionLimits,
    metrics: ConnectionMetrics,
    open: HashMap<Id, Connection>,
    per_peer: HashMap<Peer, usize>,
    spare: Spare,
}

#[derive(Debug)]
struct Connection {
    peer: Peer,
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// What counts as one client: an IPv4 address, or the /64 network of an IPv6 address, all of which one client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Peer(IpAddr);

/// The connections that are closed next to make room, the next one last. Found in one pass for several uses, because an
/// attacker can make many necessary.
#[derive(Debug, Default)]
struct Spare {
    of: Option<Peer>,
    connections: Vec<(Id, State)>,
}

/// How many connections one pass finds.
const SPARE: usize = 32;

impl Peer {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 => v4,
        })
    }
}

impl Table {
    pub(super) fn new(limits: ConnectionLimits, metrics: ConnectionMetrics) -> Self {
        Self { limits, metrics, open: HashMap::new(), per_peer: HashMap::new(), spare: Spare::default() }
    }

    /// Returns whether there is room for one more connection of `peer`; makes room if that is possible.
    pub(super) fn admit(&mut self, peer: Peer) -> bool {
        let of_peer = self.per_peer.get(&peer).copied().unwrap_or_default();
        let refused = if of_peer >= self.limits.connections_per_peer && !self.make_room(Some(peer)) {
            Limit::Peer
        } else if self.open.len() >= self.limits.connections && !self.make_room(None) {
            Limit::Listener
        } else {
            return true;
        };
        self.metrics.refused(refused);
        false
    }

    pub(super) fn insert(&mut self, peer: Peer, activity: Arc<Activity>, task: AbortHandle) {
        *self.per_peer.entry(peer).or_default() += 1;
        self.open.insert(task.id(), Connection { peer, activity, task });
        self.metrics.open.inc();
    }

    /// Forgets a connection that has ended.
    pub(super) fn remove(&mut self, id: Id) {
        let Some(connection) = self.open.remove(&id) else { return };
        self.metrics.open.dec();
        if let Some(count) = self.per_peer.get_mut(&connection.peer) {
            *count -= 1;
            if *count == 0 {
                self.per_peer.remove(&connection.peer);
            }
        }
    }

    /// Closes the connections that have reached a time limit.
    pub(super) fn close_expired(&mut self) {
        let expired = |(id, connection): (&Id, &Connection)| Some((*id, connection.activity.expired(&self.limits)?));
        let expired: Vec<_> = self.open.iter().filter_map(expired).collect();
        for (id, (reason, state)) in expired {
            self.close(id, state, reason);
        }
    }

    /// Closes a connection, of `peer` if one is given, that has waited for a request for long enough. Returns false if
    /// there is none.
    pub(super) fn make_room(&mut self, peer: Option<Peer>) -> bool {
        if self.spare.of != peer {
            self.spare = Spare { of: peer, connections: Vec::new() };
        }
        // What was found earlier and has gone on since stays open.
        while let Some((id, state)) = self.spare.connections.pop() {
            if self.close(id, state, Reason::Room) {
                return true;
            }
        }
        self.spare.connections = self.waiting_longest(peer);
        while let Some((id, state)) = self.spare.connections.pop() {
            if self.close(id, state, Reason::Room) {
                return true;
            }
        }
        false
    }

    /// Returns some connections that wait, the one to be closed first last: that which has sent the fewest requests,
    /// and of several, that which has waited longest.
    fn waiting_longest(&self, peer: Option<Peer>) -> Vec<(Id, State)> {
        let of_peer = self.open.iter().filter(|(_, connection)| peer.is_none_or(|peer| connection.peer == peer));
        let settled = |(id, connection): (&Id, &Connection)| {
            let state = connection.activity.state();
            connection.activity.has_settled(state, self.limits.settled).then_some((*id, state))
        };
        let mut waiting: Vec<_> = of_peer.filter_map(settled).collect();
        let order = |(_, state): &(Id, State)| (state.requests, state.since);
        if waiting.len() > SPARE {
            waiting.select_nth_unstable_by_key(SPARE, order);
            waiting.truncate(SPARE);
        }
        waiting.sort_unstable_by_key(|connection| std::cmp::Reverse(order(connection)));
        waiting
    }

    fn close(&mut self, id: Id, state: State, reason: Reason) -> bool {
        let closed = self.open.get(&id).is_some_and(|connection| {
            let closed = connection.activity.close(state);
            if closed {
                connection.task.abort();
            }
            closed
        });
        if closed {
            self.remove(id);
            self.metrics.closed(reason);
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network() {
        let peer = |text: &str| Peer::of(text.parse().unwrap());
        assert_eq!(peer("192.0.2.1"), peer("::ffff:192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
    }
}
