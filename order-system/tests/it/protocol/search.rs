//! Explores all states that can be reached.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use order::domain::{Capture, Order};

use super::state::{Action, Next, State};

/// All states that can be reached, and the steps between them that are taken automatically.
struct Graph {
    states: Vec<Rc<State>>,
    /// For each state, its steps: the index of the next state, and the id of the action.
    steps: Vec<Vec<(usize, u16)>>,
    actions: Vec<Action>,
}

/// Searches from `start`, and returns the number of end states for each combination of order statuses.
pub(super) fn search(start: State, accepts: bool) -> BTreeMap<String, usize> {
    let graph = Graph::of(start, accepts);
    let mut ends = BTreeMap::new();
    for state in graph.states.iter().filter(|state| state.is_quiet_end()) {
        assert_eq!(state.breaches(), Vec::<String>::new(), "{state:#?}");
        let statuses: Vec<String> = state.world.orders.values().map(outcome).collect();
        *ends.entry(statuses.join(" ")).or_default() += 1;
    }
    graph.always_ends();
    ends
}

/// Returns how an order ended: its status, whether its payment could not be captured, and what has gone back.
fn outcome(order: &Order) -> String {
    match (order.facts.capture, order.refunded()) {
        (Capture::Failed, _) => format!("{} (capture failed)", order.status()),
        (Capture::Unknown | Capture::Captured, None) => order.status().to_string(),
        (Capture::Unknown | Capture::Captured, Some(refunded)) => format!("{} ({refunded} back)", order.status()),
    }
}

impl Graph {
    fn of(start: State, accepts: bool) -> Self {
        let start = Rc::new(start);
        let mut index: HashMap<Rc<State>, usize> = HashMap::from([(Rc::clone(&start), 0)]);
        let mut ids: HashMap<Action, u16> = HashMap::new();
        let mut graph = Self { states: vec![start], steps: Vec::new(), actions: Vec::new() };
        while graph.steps.len() < graph.states.len() {
            let state = Rc::clone(&graph.states[graph.steps.len()]);
            assert_eq!(state.world.audit_stock(), Vec::<String>::new(), "{state:#?}");
            let mut steps = Vec::new();
            for Next { state, action } in state.all_next(accepts) {
                let there = match index.get(&state) {
                    Some(there) => *there,
                    None => {
                        let state = Rc::new(state);
                        index.insert(Rc::clone(&state), graph.states.len());
                        graph.states.push(state);
                        graph.states.len() - 1
                    }
                };
                if let Some(action) = action {
                    let id = *ids.entry(action).or_insert_with_key(|action| {
                        graph.actions.push(action.clone());
                        u16::try_from(graph.actions.len() - 1).unwrap()
                    });
                    steps.push((there, id));
                }
            }
            graph.steps.push(steps);
        }
        graph
    }

    /// Checks that an end is always reached if, from some moment on, nothing more is lost or cancelled.
    ///
    /// A run that never ends stays, from some moment on, in one strongly connected component of the graph. It is fair
    /// if every step that stays possible is taken eventually: a message stays in flight until it is delivered, a call
    /// stays open until it is answered, and clocks always tick. So a fair run can stay in a component forever only if
    /// each step that is possible in *all* of its states leads, from one of them, back into it. If a component without
    /// an end state has this property, the protocol can hang there. The smallest such component is a single state that
    /// only ticks or allows no step at all.
    fn always_ends(&self) {
        for component in self.components() {
            if component.iter().any(|&state| self.states[state].is_quiet_end()) {
                continue;
            }
            let inside: HashSet<usize> = component.iter().copied().collect();
            let possible = |state: usize| self.steps[state].iter().map(|(_, action)| *action).collect::<HashSet<_>>();
            let mut always = possible(component[0]);
            for &state in &component[1..] {
                let here = possible(state);
                always.retain(|action| here.contains(action));
            }
            let stays = |action: &u16| {
                let steps = component.iter().flat_map(|&state| &self.steps[state]);
                steps.filter(|(_, taken)| taken == action).any(|(there, _)| inside.contains(there))
            };
            assert!(
                !always.iter().all(stays),
                "no end is ever reached, although these steps stay possible: {:?}\nin {} states, such as {:#?}",
                always.iter().map(|action| &self.actions[usize::from(*action)]).collect::<Vec<_>>(),
                component.len(),
                self.states[component[0]],
            );
        }
    }

    /// The strongly connected components (Tarjan's algorithm, without recursion).
    fn components(&self) -> Vec<Vec<usize>> {
        const UNSEEN: usize = usize::MAX;
        let count = self.states.len();
        let (mut number, mut lowest, mut on_stack) = (vec![UNSEEN; count], vec![0; count], vec![false; count]);
        let (mut stack, mut components, mut next) = (Vec::new(), Vec::new(), 0);
        for root in 0..count {
            if number[root] != UNSEEN {
                continue;
            }
            // Each entry has the index of its next step.
            let mut path = vec![(root, 0)];
            while let Some((here, step)) = path.last_mut() {
                let here = *here;
                if *step == 0 {
                    (number[here], lowest[here]) = (next, next);
                    next += 1;
                    stack.push(here);
                    on_stack[here] = true;
                }
                if let Some(&(there, _)) = self.steps[here].get(*step) {
                    *step += 1;
                    if number[there] == UNSEEN {
                        path.push((there, 0));
                    } else if on_stack[there] {
                        lowest[here] = lowest[here].min(number[there]);
                    }
                    continue;
                }
                path.pop();
                if let Some((before, _)) = path.last() {
                    lowest[*before] = lowest[*before].min(lowest[here]);
                }
                if lowest[here] == number[here] {
                    let from = stack.iter().rposition(|state| *state == here).unwrap();
                    let component = stack.split_off(from);
                    component.iter().for_each(|state| on_stack[*state] = false);
                    components.push(component);
                }
            }
        }
        components
    }
}
