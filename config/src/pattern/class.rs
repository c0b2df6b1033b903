//! Character classes and characters by number, as PCRE2 reads them.
//!
//! Called by [`super::translate`].

use super::reader::Reader;
use super::translate::Untranslatable;
use crate::model::check::RegexOptions;

/// A class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    negated: bool,
    items: Vec<Item>,
    unicode: bool,
}

/// What a class holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// Characters by their numbers.
    Range(u32, u32),
    /// A class that both know by the same name.
    Known(String),
}

impl Item {
    /// `\h` and `\v`; in capitals what they don't hold.
    pub(super) fn of_blanks(letter: char, unicode: bool) -> Vec<Self> {
        let ranges = if letter.eq_ignore_ascii_case(&'h') { HORIZONTAL } else { VERTICAL };
        let held = ranges.iter().filter(|(_, high)| unicode || *high <= 0xff);
        held.map(|(low, high)| Self::Range(*low, *high)).collect()
    }
}

/// What stands for one thing in a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Characters as they are written.
    Characters,
    /// A class within the class, which neither begins nor ends a range.
    Class,
}

/// Blanks within a line.
const HORIZONTAL: &[(u32, u32)] = &[
    (0x09, 0x09),
    (0x20, 0x20),
    (0xa0, 0xa0),
    (0x1680, 0x1680),
    (0x180e, 0x180e),
    (0x2000, 0x200a),
    (0x202f, 0x202f),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
];
/// Ends of lines and pages.
const VERTICAL: &[(u32, u32)] = &[(0x0a, 0x0d), (0x85, 0x85), (0x2028, 0x2029)];

impl Class {
    pub(super) fn new(negated: bool, items: Vec<Item>, options: RegexOptions) -> Self {
        Self { negated, items, unicode: options.unicode }
    }

    /// The same for the matcher.
    pub(super) fn text(&self) -> String {
        if self.items.is_empty() {
            return if self.negated { "(?s:.)" } else { "(?!)" }.to_owned();
        }
        let sign = if self.negated { "^" } else { "" };
        let write = |number: u32| self::number(number, self.unicode).unwrap_or_default();
        let items = self.items.iter().map(|item| match item {
            Item::Range(low, high) if low == high => write(*low),
            Item::Range(low, high) => format!("{}-{}", write(*low), write(*high)),
            Item::Known(text) => text.clone(),
        });
        format!("[{sign}{}]", items.collect::<String>())
    }
}

/// Reads a class behind its opening bracket.
pub(super) fn read(reader: &mut Reader<'_>, options: RegexOptions) -> Result<Class, Untranslatable> {
    let negated = reader.takes("^");
    let mut items = Vec::new();
    let mut is_first = !options.allow_empty_class;
    loop {
        let next = reader.next().ok_or(Untranslatable::Open("a class"))?;
        if next == ']' && !is_first {
            return Ok(Class::new(negated, items, options));
        }
        is_first = false;
        let before = items.len();
        let part = take(next, reader, options, &mut items)?;
        let is_range = reader.begins("-") && !reader.begins("-]");
        if part == Part::Class && is_range {
            return Err(Untranslatable::RangeOfClass);
        }
        let [.., Item::Range(low, high)] = *items.as_slice() else { continue };
        // What is quoted begins no range.
        let is_one = items.len() == before.saturating_add(1) && low == high;
        if is_one && part == Part::Characters && is_range {
            reader.takes("-");
            let end = reader.next().ok_or(Untranslatable::Open("a class"))?;
            let mut ends = Vec::new();
            if take(end, reader, options, &mut ends)? == Part::Class {
                return Err(Untranslatable::RangeOfClass);
            }
            match *ends.as_slice() {
                [Item::Range(end, same)] if end == same && low <= end => {
                    items.pop();
                    items.push(Item::Range(low, end));
                }
                [Item::Range(..), ..] => return Err(Untranslatable::Range),
                _ => {
                    items.push(Item::Range(u32::from('-'), u32::from('-')));
                    items.extend(ends);
                }
            }
        }
    }
}

fn take(
    next: char,
    reader: &mut Reader<'_>,
    options: RegexOptions,
    items: &mut Vec<Item>,
) -> Result<Part, Untranslatable> {
    match next {
        '[' if reader.begins(":") => match posix(reader)? {
            Some(known) => {
                items.push(known);
                return Ok(Part::Class);
            }
            None => character('[', options, items),
        },
        '\\' => {
            let escaped = reader.next().ok_or(Untranslatable::Backslash)?;
            match escaped {
                'Q' => reader.quoted().chars().for_each(|quoted| character(quoted, options, items)),
                'E' => {}
                'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                    items.push(Item::Known(format!("\\{escaped}")));
                    return Ok(Part::Class);
                }
                'h' | 'v' => {
                    items.extend(Item::of_blanks(escaped, options.unicode));
                    return Ok(Part::Class);
                }
                'b' => items.push(Item::Range(8, 8)),
                '1'..='7' => {
                    let number = octal(escaped, reader);
                    items.push(Item::Range(number, number));
                }
                'H' | 'V' | 'N' | 'R' | 'X' | 'B' | 'p' | 'P' => return Err(Untranslatable::Escape(escaped)),
                '8' | '9' => character(escaped, options, items),
                other => {
                    let number = self::escaped(other, reader, options)?;
                    self::number(number, options.unicode)?;
                    items.push(Item::Range(number, number));
                }
            }
        }
        other => character(other, options, items),
    }
    Ok(Part::Characters)
}

/// `[:name:]` behind its first bracket.
fn posix(reader: &mut Reader<'_>) -> Result<Option<Item>, Untranslatable> {
    let mut ahead = reader.clone();
    ahead.takes(":");
    let Some(name) = ahead.until(']').and_then(|text| text.strip_suffix(':')) else { return Ok(None) };
    let plain = name.strip_prefix('^').unwrap_or(name);
    if !POSIX.contains(&plain) {
        return Err(Untranslatable::Posix(name.to_owned()));
    }
    *reader = ahead;
    Ok(Some(Item::Known(format!("[:{name}:]"))))
}

const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

fn character(character: char, options: RegexOptions, items: &mut Vec<Item>) {
    if options.unicode {
        let number = u32::from(character);
        return items.push(Item::Range(number, number));
    }
    let bytes = character
        .encode_utf8(&mut [0; 4])
        .bytes()
        .map(|byte| Item::Range(byte.into(), byte.into()))
        .collect::<Vec<_>>();
    items.extend(bytes);
}

/// The character that stands behind a backslash: by its number, by a letter for it, or as itself.
pub(super) fn escaped(
    escaped: char,
    reader: &mut Reader<'_>,
    options: RegexOptions,
) -> Result<u32, Untranslatable> {
    let hexadecimal = |text: &str| u32::from_str_radix(text, 16).unwrap_or(u32::MAX);
    Ok(match escaped {
        'a' => 0x07,
        'e' => 0x1b,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        '0' => octal('0', reader),
        'c' => {
            let control = reader.next().filter(char::is_ascii).ok_or(Untranslatable::Escape('c'))?;
            u32::from(control.to_ascii_uppercase()) ^ 0x40
        }
        'o' => {
            let digits = reader.delimited(&["{}"]).ok_or(Untranslatable::Escape('o'))?;
            u32::from_str_radix(digits, 8).map_err(|_| Untranslatable::Escape('o'))?
        }
        'x' | 'u' if options.alt_bsux => {
            let count = if escaped == 'x' { 2 } else { 4 };
            let mut ahead = reader.clone();
            let digits = ahead.digits(16, count);
            if digits.len() < count {
                return Ok(u32::from(escaped));
            }
            *reader = ahead;
            hexadecimal(digits)
        }
        'x' => match reader.delimited(&["{}"]) {
            Some(digits) => hexadecimal(digits),
            None => match reader.digits(16, 2) {
                "" => 0,
                digits => hexadecimal(digits),
            },
        },
        'U' if options.alt_bsux => u32::from('U'),
        other if other.is_ascii_alphanumeric() => return Err(Untranslatable::Escape(other)),
        other if other.is_ascii() || options.unicode => u32::from(other),
        other => return Err(Untranslatable::Escape(other)),
    })
}

/// Up to three octal digits, the first of which is known.
pub(super) fn octal(first: char, reader: &mut Reader<'_>) -> u32 {
    let rest = reader.digits(8, 2);
    u32::from_str_radix(&format!("{first}{rest}"), 8).unwrap_or(0)
}

/// How the matcher is told the character of this number.
pub(super) fn number(number: u32, unicode: bool) -> Result<String, Untranslatable> {
    match (unicode, number) {
        (false, 0..=0xff) => Ok(format!("\\x{number:02X}")),
        (true, _) if char::from_u32(number).is_some() => Ok(format!("\\x{{{number:X}}}")),
        _ => Err(Untranslatable::Number(number)),
    }
}
