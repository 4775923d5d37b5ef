use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap, HashSet},
    hash::Hash,
};

/// The rows of one table in memory during a batch: which were loaded, changed or added.
#[derive(Debug)]
pub struct WorkingSet<K, V> {
    rows: HashMap<K, V>,
    changed: BTreeSet<K>,
    /// The keys of rows that were not loaded.
    new: HashSet<K>,
}

impl<K: Ord + Hash + Clone, V> WorkingSet<K, V> {
    /// Starts from the rows that were loaded.
    pub fn loaded(rows: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { rows: rows.into_iter().collect(), changed: BTreeSet::new(), new: HashSet::new() }
    }

    /// Returns the row in its current state.
    #[must_use]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key)
    }

    /// Returns the row for changing it, and marks it to be saved.
    pub fn change(&mut self, key: &K) -> Option<&mut V> {
        let row = self.rows.get_mut(key)?;
        self.changed.insert(key.clone());
        Some(row)
    }

    /// Inserts or replaces a row, and marks it to be saved.
    pub fn put(&mut self, key: K, row: V) {
        self.changed.insert(key.clone());
        if self.rows.insert(key.clone(), row).is_none() {
            self.new.insert(key);
        }
    }

    /// Returns the rows to be saved, converted by `row`: the new ones, and the changed ones that were loaded. Both are
    /// in the order of their keys, so that two batches lock them in the same order.
    pub fn to_save<R>(&self, row: impl Fn(&V) -> R) -> ToSave<R> {
        let mut to_save = ToSave { new: Vec::new(), changed: Vec::new() };
        for key in &self.changed {
            let Some(value) = self.rows.get(key) else { continue };
            let rows = if self.new.contains(key) { &mut to_save.new } else { &mut to_save.changed };
            rows.push(row(value));
        }
        to_save
    }

    /// Consumes the set, and returns the changed rows in the order of their keys.
    pub fn into_changed(mut self) -> impl Iterator<Item = V> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(move |key| self.rows.remove(&key))
    }
}

/// Rows of one table to be saved. See [`Writes::save`](crate::Writes::save).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSave<R> {
    /// Rows to insert: if one exists already, that is an error.
    pub new: Vec<R>,
    /// Rows to overwrite: they were loaded, and are locked by this transaction.
    pub changed: Vec<R>,
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
        assert_eq!(rows.to_save(|row| *row), ToSave { new: vec!["newer"], changed: vec!["C"] });
        assert_eq!(rows.into_changed().collect::<Vec<_>>(), ["newer", "C"]);
    }
}
