/// A Markdown table with aligned columns, so that it is readable as text too.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table with these column headings.
    pub(crate) fn new(heads: impl IntoIterator<Item = String>) -> Self {
        Self { rows: vec![heads.into_iter().collect()] }
    }

    /// Adds a row, which must have as many cells.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the Markdown text, with an empty line before it. The first column is left-aligned, the others are
    /// right-aligned.
    pub(crate) fn markdown(&self) -> String {
        let columns = self.rows[0].len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
            .collect();
        let mut text = "\n".to_owned();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let cell = if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
                text.push_str(&format!("| {cell} "));
            }
            text.push_str("|\n");
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let line = "-".repeat(width + 1);
                    text.push_str(&if column == 0 { format!("|{line}-") } else { format!("|{line}:") });
                }
                text.push_str("|\n");
            }
        }
        text
    }
}
