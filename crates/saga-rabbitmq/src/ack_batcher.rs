use std::collections::BTreeSet;

use saga_runtime::broker::Settlement;

/// Combines the settlements of single deliveries into as few AMQP acknowledgements as possible. One acknowledgement can
/// cover all lower delivery tags of its channel.
#[derive(Debug, Default)]
pub(crate) struct AckBatcher {
    /// All deliveries up to this tag are settled. A channel numbers its deliveries from 1.
    floor: u64,
    /// Settled deliveries above `floor`.
    above: BTreeSet<u64>,
}

/// What to send to the broker, in the order of the fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settling {
    /// Deliveries to nack with requeue, one by one, in the queue's order. They are sent first, because the
    /// acknowledgement of `acknowledge_up_to` would otherwise include them.
    pub(crate) give_back: Vec<u64>,
    /// Acknowledge everything up to this tag.
    pub(crate) acknowledge_up_to: Option<u64>,
    /// Deliveries to acknowledge one by one, because an earlier delivery is still being handled.
    pub(crate) acknowledge: Vec<u64>,
}

impl AckBatcher {
    pub(crate) fn settle(&mut self, settlements: impl IntoIterator<Item = Settlement>) -> Settling {
        let mut settling = Settling::default();
        for Settlement { tag, acknowledged } in settlements {
            self.above.insert(tag);
            if acknowledged {
                settling.acknowledge.push(tag);
            } else {
                settling.give_back.push(tag);
            }
        }
        while self.above.first() == Some(&(self.floor + 1)) {
            self.above.pop_first();
            self.floor += 1;
        }
        settling.give_back.sort_unstable();
        // The tag must belong to a delivery that the broker still has as unacknowledged.
        settling.acknowledge_up_to = settling.acknowledge.iter().copied().filter(|&tag| tag <= self.floor).max();
        settling.acknowledge.retain(|&tag| tag > self.floor);
        settling
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn ack(tag: u64) -> Settlement {
        Settlement { tag, acknowledged: true }
    }

    fn nack(tag: u64) -> Settlement {
        Settlement { tag, acknowledged: false }
    }

    #[test]
    fn adjacent_tags_are_acknowledged_together() {
        let mut ack_batcher = AckBatcher::default();
        let together = ack_batcher.settle([ack(2), ack(1), ack(3)]);
        assert_eq!(together, Settling { acknowledge_up_to: Some(3), ..Settling::default() });
        let early = ack_batcher.settle([ack(6), ack(5)]);
        assert_eq!(early, Settling { acknowledge: vec![6, 5], ..Settling::default() });
        let late = ack_batcher.settle([ack(4), ack(7), nack(8)]);
        assert_eq!(late, Settling { give_back: vec![8], acknowledge_up_to: Some(7), ..Settling::default() });
        assert_eq!(ack_batcher.settle([nack(9)]), Settling { give_back: vec![9], ..Settling::default() });
        assert!(ack_batcher.above.is_empty());
    }

    /// The broker's side of one channel: which deliveries are unacknowledged, acknowledged and requeued.
    #[derive(Default)]
    struct Broker {
        waiting: BTreeSet<u64>,
        acknowledged: BTreeSet<u64>,
        given_back: BTreeSet<u64>,
    }

    impl Broker {
        fn apply(&mut self, settling: Settling) {
            for tag in settling.give_back {
                assert!(self.waiting.remove(&tag), "unknown delivery tag {tag}");
                self.given_back.insert(tag);
            }
            if let Some(highest) = settling.acknowledge_up_to {
                assert!(self.waiting.contains(&highest), "unknown delivery tag {highest}");
                let rest = self.waiting.split_off(&(highest + 1));
                self.acknowledged.append(&mut self.waiting);
                self.waiting = rest;
            }
            for tag in settling.acknowledge {
                assert!(self.waiting.remove(&tag), "unknown delivery tag {tag}");
                self.acknowledged.insert(tag);
            }
        }
    }

    proptest! {
        /// In whatever order and batches deliveries are settled, the broker gets each settlement exactly once.
        #[test]
        fn the_broker_gets_each_settlement_once(
            (settlements, portions) in vec(any::<bool>(), 1..60).prop_flat_map(|acknowledged| {
                let settlement = |(tag, acknowledged)| Settlement { tag, acknowledged };
                let settlements: Vec<_> = (1..).zip(acknowledged).map(settlement).collect();
                (Just(settlements).prop_shuffle(), vec(1..8_usize, 60))
            })
        ) {
            let mut broker = Broker { waiting: (1..=settlements.len() as u64).collect(), ..Broker::default() };
            let mut ack_batcher = AckBatcher::default();
            let mut rest = settlements.clone().into_iter();
            for portion in portions {
                broker.apply(ack_batcher.settle(rest.by_ref().take(portion)));
            }
            let (acknowledged, given_back): (Vec<_>, Vec<_>) =
                settlements.iter().partition(|settled| settled.acknowledged);
            let tags = |settled: Vec<&Settlement>| -> BTreeSet<u64> {
                settled.into_iter().map(|settled| settled.tag).collect()
            };
            prop_assert!(broker.waiting.is_empty());
            prop_assert_eq!(broker.acknowledged, tags(acknowledged));
            prop_assert_eq!(broker.given_back, tags(given_back));
            prop_assert!(ack_batcher.above.is_empty());
        }
    }
}
