//! Text in columns, for people.

/// Rows in columns, each as wide as its widest cell and two spaces from the next. The first row is
/// the heading. A column whose heading begins with `>` is aligned to the right.
#[must_use]
pub fn aligned(heading: &[&str], rows: &[Vec<String>]) -> String {
    let plain = heading.iter().map(|cell| cell.trim_start_matches('>').to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&plain).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let mut text = String::new();
    for row in &all {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = width(column).unwrap_or(0);
            line += match heading[column].starts_with('>') {
                true => format!("  {cell:>width$}"),
                false => format!("  {cell:<width$}"),
            }
            .as_str();
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_to_their_side() {
        let rows = [vec!["echo".to_owned(), "7".into()], vec!["é".into(), "1234".into()]];
        let expected = "  NAME  MB/s\n  echo     7\n  é     1234\n";
        assert_eq!(aligned(&["NAME", ">MB/s"], &rows), expected);
    }
}
