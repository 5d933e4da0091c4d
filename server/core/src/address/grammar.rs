//! Parsing and printing of addresses exactly by the grammar. Their meaning is elsewhere.
//!
//! ```text
//! address   = alternate *( ";" alternate )
//! alternate = part *( "~" part )
//! part      = name *( ":" datum )
//! name      = a-z 1*( a-z / 0-9 / "-" )
//! datum     = *( %x21-7E without the four / "!" one of the four )      the four: ! ~ : ;
//! ```

use super::{ADDRESS_MAX, Address, Alternate, Part};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

/// The text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError {
    /// The position of the error, in bytes from the start of the text.
    pub position: usize,
    /// The rule that the text breaks there.
    pub rule: Rule,
}

/// The rules of the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An address has at most [`ADDRESS_MAX`] bytes.
    TooLong,
    /// No part before, between or after `~` and `;` may be empty, and an address is not empty.
    EmptyPart,
    /// A name begins with a-z.
    NameStart(char),
    /// A name has at least two characters.
    NameTooShort,
    /// A name holds only a-z, 0-9 and `-`.
    NameCharacter(char),
    /// Data are printable ASCII without space.
    DataCharacter(char),
    /// `!` may only precede one of `! ~ : ;`.
    Escape(Option<char>),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        if text.len() > ADDRESS_MAX {
            return Err(AddressError { position: ADDRESS_MAX, rule: Rule::TooLong });
        }
        let mut reader = AddressParser { text, position: 0 };
        let mut alternates = Vec::new();
        loop {
            alternates.push(reader.alternate()?);
            if !reader.take(';') {
                break;
            }
        }
        Ok(Address { alternates })
    }
}

/// Whether a name is valid in an address; `start` is its position there.
pub(super) fn check_name(name: &str, start: usize) -> Result<(), AddressError> {
    let fail = |position, rule| Err(AddressError { position: start + position, rule });
    let mut chars = name.char_indices();
    match chars.next() {
        None => return fail(0, Rule::EmptyPart),
        Some((_, 'a'..='z')) => {}
        Some((at, other)) => return fail(at, Rule::NameStart(other)),
    }
    match chars.find(|(_, c)| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        Some((at, other)) => fail(at, Rule::NameCharacter(other)),
        None if name.len() < 2 => fail(name.len(), Rule::NameTooShort),
        None => Ok(()),
    }
}

/// Whether an unescaped datum can be written in an address.
pub(super) fn check_datum(datum: &str) -> Result<(), AddressError> {
    match datum.char_indices().find(|(_, c)| !c.is_ascii_graphic()) {
        Some((position, c)) => Err(AddressError { position, rule: Rule::DataCharacter(c) }),
        None => Ok(()),
    }
}

/// Whether these alternates make an address that can be read again.
pub(super) fn check_length(alternates: &[Alternate]) -> Result<(), AddressError> {
    let mut count = Counter(0);
    // A counter accepts any input.
    let _ = print_alternates(alternates, &mut count);
    match count.0 {
        0 => Err(AddressError { position: 0, rule: Rule::EmptyPart }),
        1..=ADDRESS_MAX => Ok(()),
        _ => Err(AddressError { position: ADDRESS_MAX, rule: Rule::TooLong }),
    }
}

/// Writes a text with its four special characters escaped.
pub(super) fn escape(text: &str, out: &mut dyn fmt::Write) -> fmt::Result {
    for c in text.chars() {
        if is_special(c) {
            out.write_char('!')?;
        }
        out.write_char(c)?;
    }
    Ok(())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_alternates(self.alternates(), f)
    }
}

impl fmt::Display for Alternate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print_alternate(self, f)
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {}", self.rule, self.position + 1)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::TooLong => write!(f, "an address has at most {ADDRESS_MAX} bytes"),
            Rule::EmptyPart => f.write_str("a transport or transform is missing"),
            Rule::NameStart(c) => write!(f, "a transport's name begins with a-z, not {c:?}"),
            Rule::NameTooShort => f.write_str("a transport's name has at least two characters"),
            Rule::NameCharacter(c) => {
                write!(f, "a transport's name holds only a-z 0-9 -, not {c:?}")
            }
            Rule::DataCharacter(c) => write!(f, "{c:?} is not printable ASCII"),
            Rule::Escape(Some(c)) => write!(f, "`!` must escape one of ! ~ : ; and not {c:?}"),
            Rule::Escape(None) => f.write_str("`!` must escape one of ! ~ : ; and not the end"),
        }
    }
}

impl core::error::Error for AddressError {}

/// The rest of a text, and its position.
struct AddressParser<'a> {
    text: &'a str,
    position: usize,
}

impl AddressParser<'_> {
    fn alternate(&mut self) -> Result<Alternate, AddressError> {
        let transport = self.part()?;
        let mut transforms = Vec::new();
        while self.take('~') {
            transforms.push(self.part()?);
        }
        Ok(Alternate { transport, transforms })
    }

    fn part(&mut self) -> Result<Part, AddressError> {
        let rest = self.rest();
        let name = &rest[..rest.find([':', '~', ';']).unwrap_or(rest.len())];
        check_name(name, self.position)?;
        let name = String::from(name);
        self.position += name.len();
        let mut data = Vec::new();
        while self.take(':') {
            data.push(self.datum()?);
        }
        Ok(Part { name, data })
    }

    fn datum(&mut self) -> Result<String, AddressError> {
        let mut datum = String::new();
        while let Some(c) = self.peek() {
            match c {
                '~' | ':' | ';' => break,
                '!' => datum.push(self.escaped()?),
                c if c.is_ascii_graphic() => {
                    self.position += 1;
                    datum.push(c);
                }
                c => return Err(self.error(Rule::DataCharacter(c))),
            }
        }
        Ok(datum)
    }

    /// The character after a `!`, which comes next.
    fn escaped(&mut self) -> Result<char, AddressError> {
        match self.rest().chars().nth(1) {
            Some(c) if is_special(c) => {
                self.position += 2;
                Ok(c)
            }
            other => Err(self.error(Rule::Escape(other))),
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.position += wanted.len_utf8();
        }
        found
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    fn error(&self, rule: Rule) -> AddressError {
        AddressError { position: self.position, rule }
    }
}

/// Counts the bytes of what is printed into it.
struct Counter(usize);

impl fmt::Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.saturating_add(text.len());
        Ok(())
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '!' | '~' | ':' | ';')
}

fn print_alternates(alternates: &[Alternate], out: &mut dyn fmt::Write) -> fmt::Result {
    for (index, alternate) in alternates.iter().enumerate() {
        if index > 0 {
            out.write_char(';')?;
        }
        print_alternate(alternate, out)?;
    }
    Ok(())
}

fn print_alternate(alternate: &Alternate, out: &mut dyn fmt::Write) -> fmt::Result {
    print_part(alternate.transport(), out)?;
    for transform in alternate.transforms() {
        out.write_char('~')?;
        print_part(transform, out)?;
    }
    Ok(())
}

fn print_part(part: &Part, out: &mut dyn fmt::Write) -> fmt::Result {
    out.write_str(part.name())?;
    for datum in part.data() {
        out.write_char(':')?;
        escape(datum, out)?;
    }
    Ok(())
}
