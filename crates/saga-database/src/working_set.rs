use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap, HashSet},
    hash::Hash,
};

/// Rows of one table in memory during a batch: what was loaded, what has changed, what is new.
#[derive(Debug)]
pub struct WorkingSet<K, V> {
    rows: HashMap<K, V>,
    changed: BTreeSet<K>,
    /// Those that were not loaded.
    new: HashSet<K>,
}

impl<K: Ord + Hash + Clone, V> WorkingSet<K, V> {
    /// The rows as they were loaded.
    pub fn loaded(rows: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { rows: rows.into_iter().collect(), changed: BTreeSet::new(), new: HashSet::new() }
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
        if self.rows.insert(key.clone(), row).is_none() {
            self.new.insert(key);
        }
    }

    /// The rows to be saved, as `row` makes them: the new ones, and the changed ones that were loaded. Both are in the order of
    /// their keys, so that two batches lock them in the same order.
    pub fn to_save<R>(&self, row: impl Fn(&V) -> R) -> ToSave<R> {
        let mut to_save = ToSave { new: Vec::new(), changed: Vec::new() };
        for key in &self.changed {
            let Some(value) = self.rows.get(key) else { continue };
            let rows = if self.new.contains(key) { &mut to_save.new } else { &mut to_save.changed };
            rows.push(row(value));
        }
        to_save
    }

    /// Takes the changed rows out, in the order of their keys.
    pub fn into_changed(mut self) -> impl Iterator<Item = V> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(move |key| self.rows.remove(&key))
    }
}

/// Rows of one table to be saved. See [`Writes::save`](crate::Writes::save).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSave<R> {
    /// To be inserted: that one is there already is an error.
    pub new: Vec<R>,
    /// They were loaded, and are locked by this transaction.
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
