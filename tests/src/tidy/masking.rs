//! Blanks everything but code in Rust's text, so that a rule finds no words in comments and
//! literals.

/// The text with each character of a comment or a literal replaced by a space; line ends stay.
pub(super) fn masked(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let length = foreign(&characters, at);
        if length == 0 {
            result.push(characters[at]);
            at += 1;
            continue;
        }
        let end = (at + length).min(characters.len());
        result.extend(characters[at..end].iter().map(|&c| if c == '\n' { c } else { ' ' }));
        at = end;
    }
    result
}

/// The length of the comment or literal that begins here; 0 if none does.
fn foreign(text: &[char], at: usize) -> usize {
    let rest = &text[at..];
    let inside_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match rest {
        ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['r', '"' | '#', ..] if !inside_word => raw_string(&rest[1..]).map_or(0, |l| l + 1),
        ['b', 'r', ..] if !inside_word => raw_string(&rest[2..]).map_or(0, |l| l + 2),
        ['\'', '\\', ..] => quoted(rest, '\''),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment(text: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted(text: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The length of `#"..."#` with any number of `#`; `None` for a raw identifier.
fn raw_string(text: &[char]) -> Option<usize> {
    let hashes = text.iter().take_while(|&&c| c == '#').count();
    if text.get(hashes) != Some(&'"') {
        return None;
    }
    let mut end = vec!['"'];
    end.resize(hashes + 1, '#');
    let body = &text[hashes + 1..];
    let length = body.windows(end.len()).position(|window| window == end.as_slice());
    Some(length.map_or(text.len(), |length| hashes + 1 + length + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_code_stays() {
        for (text, expected) in [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("g\"h") i"#, "f(      ) i"),
            ("j(r##\"k\"# l\"##) m", "j(            ) m"),
            ("n(br\"o\") p", "n(     ) p"),
            ("q('\\'', '\"') r", "q(    ,    ) r"),
            ("fn s<'t>(u: &'t str)", "fn s<'t>(u: &'t str)"),
            ("r#type \"v\nw\" x", "r#type   \n   x"),
            ("/* never ended", "              "),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }
}
