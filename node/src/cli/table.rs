//! Tables with borders, for people. Control characters are shown escaped, so that a value cannot break the table.

/// A table; every row has as many cells as the heading.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self {
            rows: vec![heading.map(str::to_owned).into()],
        }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.rows[0].len(), "a cell for every column");
        self.rows.push(cells.map(|cell| escape(&cell)).into());
    }

    pub(super) fn draw(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let rule: String = widths
            .iter()
            .map(|width| format!("+{}", "-".repeat(width + 2)))
            .chain(["+\n".into()])
            .collect();
        let mut text = rule.clone();
        for (index, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                text.push_str(&format!("| {cell:<width$} "));
            }
            text.push_str("|\n");
            if index == 0 {
                text.push_str(&rule);
            }
        }
        text + &rule
    }
}

fn escape(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for character in cell.chars() {
        if character.is_control() {
            text.extend(character.escape_default())
        } else {
            text.push(character)
        }
    }
    text
}
