use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// Rows of one table in memory during a batch: what was loaded, what has changed, what is new.
#[derive(Debug)]
pub struct WorkingSet<K, V> {
    rows: HashMap<K, V>,
    changed: BTreeSet<K>,
}

impl<K: Ord + Hash + Clone, V> WorkingSet<K, V> {
    /// The rows as they were loaded.
    pub fn loaded(rows: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { rows: rows.into_iter().collect(), changed: BTreeSet::new() }
    }

    /// The row as it stands now.
    #[must_use]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key)
    }

    /// The row, to be changed: it will be saved.
    pub fn change(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        self.changed.insert(key.clone());
        Some(row)
    }

    /// Sets a row, new or not: it will be saved.
    pub fn put(&mut self, key: K, row: V) {
        self.changed.insert(key.clone());
        self.rows.insert(key, row);
    }

    /// The rows to be saved, in the order of their keys, so that two batches lock them in the same order.
    pub fn changed(&self) -> impl Iterator<Item = (&K, &V)> {
        self.changed.iter().filter_map(|key| Some((key, self.rows.get(key)?)))
    }

    /// Takes the changed rows out, in the order of their keys.
    pub fn into_changed(mut self) -> impl Iterator<Item = V> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(move |key| self.rows.remove(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_saved_in_the_order_of_the_keys() {
        let mut rows = WorkingSet::loaded([(3, "c"), (1, "a"), (2, "b")]);
        *rows.change(&3).unwrap() = "C";
        rows.put(0, "new");
        rows.put(0, "newer");
        assert_eq!(rows.get(&2), Some(&"b"));
        assert_eq!(rows.change(&9), None);
        assert_eq!(rows.changed().collect::<Vec<_>>(), [(&0, &"newer"), (&3, &"C")]);
        assert_eq!(rows.into_changed().collect::<Vec<_>>(), ["newer", "C"]);
    }
}
