//! Conditions on columns: `available = true and (maturity <= 12 or genres has Family)`.
//!
//! ```text
//! condition  = any { "or" any }
//! any        = single { "and" single }
//! single     = "not" single | "(" condition ")" | column test
//! test       = ("=" | "!=" | "<" | "<=" | ">" | ">=") value | "has" value | "in" "(" value { "," value } ")"
//! ```
//!
//! Columns and values are bare words or stand in quotes, `'…'` or `"…"`. Two numbers are compared as numbers, other texts
//! as they are; an order asks for numbers, and an item whose text is none does not fulfil it. `has` finds a value among
//! several that are separated by `|`, `;` or `,`, as categories of an item are.

use std::cmp::Ordering;

use upnext_data::Catalog;

/// Why a condition was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConditionError {
    /// It does not read as a condition.
    #[error("{condition:?} is no condition: {expected} was expected at character {at}, not {found}")]
    Syntax {
        /// The text.
        condition: String,
        /// Where, from 1.
        at: usize,
        /// What could stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// It speaks of a column that the catalogue lacks.
    #[error("the items have no column {name:?}; their columns are {known}")]
    Column {
        /// The column asked for.
        name: String,
        /// The columns there are.
        known: String,
    },
}

/// Deepest nesting of brackets and nots: a parser that calls itself must end before the stack does.
const DEEPEST: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// A word that stood in quotes: no keyword.
    Quoted(String),
    Sign(&'static str),
}

/// Two-character signs before their beginnings.
const SIGNS: [&str; 9] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", ","];

#[derive(Clone, Debug)]
enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    /// A column by its place, and what its text must be.
    Is(usize, Test),
}

#[derive(Clone, Debug)]
enum Test {
    /// The orders of the item's text against the value that fulfil it.
    Compare(&'static [Ordering], Value),
    /// Any order but equal, numbers or not.
    Differs(Value),
    Has(Value),
    In(Vec<Value>),
}

#[derive(Clone, Debug)]
struct Value {
    text: String,
    number: Option<f64>,
}

/// Ids of the items that fulfil a condition, ascending.
pub(super) fn fulfilling(catalog: &Catalog, text: &str) -> Result<Vec<u32>, ConditionError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, catalog };
    let condition = parser.condition(0)?;
    if let Some((at, _)) = parser.tokens.get(parser.next) {
        return Err(parser.refuse(*at, "\"and\", \"or\" or the end"));
    }
    let ids = 0..catalog.len() as u32;
    Ok(ids.filter(|&item| condition.holds(catalog, item as usize)).collect())
}

impl Condition {
    fn holds(&self, catalog: &Catalog, item: usize) -> bool {
        match self {
            Self::Any(some) => some.iter().any(|one| one.holds(catalog, item)),
            Self::All(all) => all.iter().all(|one| one.holds(catalog, item)),
            Self::Not(one) => !one.holds(catalog, item),
            Self::Is(column, test) => test.holds(catalog.columns()[*column].values.get(item)),
        }
    }
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Compare(orders, value) => value.order(text).is_some_and(|order| orders.contains(&order)),
            Self::Differs(value) => !value.is(text),
            Self::Has(value) => parts(text).any(|part| value.is(part)),
            Self::In(values) => values.iter().any(|value| value.is(text)),
        }
    }
}

impl Value {
    fn new(text: String) -> Self {
        let number = number(&text);
        Self { text, number }
    }

    fn is(&self, text: &str) -> bool {
        if let (Ok(a), Ok(b)) = (text.trim().parse::<i128>(), self.text.trim().parse::<i128>()) {
            // Whole numbers of 64 bits are more than a float tells apart.
            return a == b;
        }
        match (number(text), self.number) {
            (Some(a), Some(b)) => a == b,
            _ => text == self.text,
        }
    }

    /// The item's text against this; none where one of them is no number.
    fn order(&self, text: &str) -> Option<Ordering> {
        number(text)?.partial_cmp(&self.number?)
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}

/// The values of a text that may hold several.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(['|', ';', ',']).map(str::trim).filter(|part| !part.is_empty())
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    next: usize,
    catalog: &'a Catalog,
}

impl Parser<'_> {
    fn condition(&mut self, depth: usize) -> Result<Condition, ConditionError> {
        let mut some = vec![self.all(depth)?];
        while self.take_word("or") {
            some.push(self.all(depth)?);
        }
        Ok(Condition::Any(some))
    }

    fn all(&mut self, depth: usize) -> Result<Condition, ConditionError> {
        let mut all = vec![self.single(depth)?];
        while self.take_word("and") {
            all.push(self.single(depth)?);
        }
        Ok(Condition::All(all))
    }

    fn single(&mut self, depth: usize) -> Result<Condition, ConditionError> {
        if depth > DEEPEST {
            return Err(self.expected("a condition of fewer brackets"));
        }
        if self.take_word("not") {
            return Ok(Condition::Not(Box::new(self.single(depth + 1)?)));
        }
        if self.take_sign("(") {
            let inner = self.condition(depth + 1)?;
            return if self.take_sign(")") { Ok(inner) } else { Err(self.expected("\")\"")) };
        }
        let column = self.column()?;
        Ok(Condition::Is(column, self.test()?))
    }

    fn column(&mut self) -> Result<usize, ConditionError> {
        let name = self.value("a column")?.text;
        let columns = self.catalog.columns();
        columns.iter().position(|column| column.name == name).ok_or_else(|| {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            ConditionError::Column { name, known }
        })
    }

    fn test(&mut self) -> Result<Test, ConditionError> {
        use Ordering::{Equal, Greater, Less};
        if self.take_sign("=") {
            return Ok(Test::In(vec![self.value("a value")?]));
        }
        if self.take_sign("!=") {
            return Ok(Test::Differs(self.value("a value")?));
        }
        let orders: [(&str, &'static [Ordering]); 4] =
            [("<", &[Less]), ("<=", &[Less, Equal]), (">", &[Greater]), (">=", &[Greater, Equal])];
        for (sign, orders) in orders {
            if self.take_sign(sign) {
                let value = self.value("a number")?;
                return match value.number {
                    Some(_) => Ok(Test::Compare(orders, value)),
                    None => {
                        self.next -= 1;
                        Err(self.expected("a number"))
                    }
                };
            }
        }
        if self.take_word("has") {
            return Ok(Test::Has(self.value("a value")?));
        }
        if self.take_word("in") {
            if !self.take_sign("(") {
                return Err(self.expected("\"(\""));
            }
            let mut values = vec![self.value("a value")?];
            while self.take_sign(",") {
                values.push(self.value("a value")?);
            }
            return if self.take_sign(")") {
                Ok(Test::In(values))
            } else {
                Err(self.expected("\",\" or \")\""))
            };
        }
        Err(self.expected("=, !=, <, <=, >, >=, has or in"))
    }

    fn value(&mut self, expected: &'static str) -> Result<Value, ConditionError> {
        match self.tokens.get(self.next) {
            Some((_, Token::Word(word) | Token::Quoted(word))) => {
                let value = Value::new(word.clone());
                self.next += 1;
                Ok(value)
            }
            _ => Err(self.expected(expected)),
        }
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is = matches!(self.tokens.get(self.next), Some((_, Token::Word(found))) if found == word);
        self.next += usize::from(is);
        is
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is = matches!(self.tokens.get(self.next), Some((_, Token::Sign(found))) if *found == sign);
        self.next += usize::from(is);
        is
    }

    fn expected(&self, expected: &'static str) -> ConditionError {
        self.refuse(self.tokens.get(self.next).map_or(self.text.len(), |(at, _)| *at), expected)
    }

    fn refuse(&self, at: usize, expected: &'static str) -> ConditionError {
        refuse(self.text, at, expected)
    }
}

fn refuse(text: &str, at: usize, expected: &'static str) -> ConditionError {
    let rest: String = text[at..].chars().take(20).collect();
    let found = if rest.is_empty() { "the end".to_owned() } else { format!("{rest:?}") };
    ConditionError::Syntax { condition: text.to_owned(), at: text[..at].chars().count() + 1, expected, found }
}

/// The tokens of a condition and the bytes that they begin at.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ConditionError> {
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            tokens.push((at, Token::Sign(sign)));
            sign.len()
        } else if first == '\'' || first == '"' {
            let Some(end) = rest[1..].find(first) else { return Err(refuse(text, at, "a closing quote")) };
            tokens.push((at, Token::Quoted(rest[1..=end].to_owned())));
            end + 2
        } else {
            let is_end = |c: char| c.is_whitespace() || "=!<>(),'\"".contains(c);
            let end = rest.find(is_end).unwrap_or(rest.len());
            if end == 0 {
                return Err(refuse(text, at, "a column, a value or a sign"));
            }
            tokens.push((at, Token::Word(rest[..end].to_owned())));
            end
        };
        at += length;
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use upnext_data::{Column, Strings};

    fn catalog() -> Catalog {
        let column = |name: &str, values: [&str; 5]| Column {
            name: name.to_owned(),
            values: values.into_iter().collect::<Strings>(),
        };
        let columns = vec![
            column("genres", ["Drama|Crime", "Comedy", "Comedy;Drama", "", "Science Fiction, Drama"]),
            column("maturity", ["12", "16.0", "7", "unknown", ""]),
            column("release year", ["1941", "1954", "1999", "2007", "2024"]),
            column("key", ["9007199254740992", "9007199254740993", "", "x", "1"]),
        ];
        Catalog::new(["a", "b", "c", "d", "e"].into_iter().collect(), columns).unwrap()
    }

    #[test]
    fn conditions_choose_items() {
        let catalog = catalog();
        for (text, expected) in [
            ("genres has Drama", vec![0, 2, 4]),
            ("genres has 'Science Fiction'", vec![4]),
            ("genres has Dram", vec![]),
            ("genres = Comedy", vec![1]),
            ("genres != Comedy", vec![0, 2, 3, 4]),
            ("genres = ''", vec![3]),
            ("maturity = 16", vec![1]),
            ("key = 9007199254740993", vec![1]),
            ("maturity <= 12", vec![0, 2]),
            ("maturity > 7", vec![0, 1]),
            ("not maturity > 7", vec![2, 3, 4]),
            ("maturity in (7, 12, unknown)", vec![0, 2, 3]),
            ("\"release year\" >= 1999 and genres has Drama", vec![2, 4]),
            ("'release year' < 1950 or genres has Comedy and maturity<10", vec![0, 2]),
            ("('release year' < 1950 or genres has Comedy) and maturity<13", vec![0, 2]),
            ("not (genres has Drama or genres has Comedy)", vec![3]),
        ] {
            assert_eq!(fulfilling(&catalog, text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_told_where_and_why() {
        let catalog = catalog();
        for (text, expected) in [
            ("", "a column was expected at character 1, not the end"),
            ("genres", "=, !=, <, <=, >, >=, has or in was expected at character 7, not the end"),
            ("genres has", "a value was expected at character 11, not the end"),
            ("maturity < many", "a number was expected at character 12, not \"many\""),
            ("maturity in 7", "\"(\" was expected at character 13, not \"7\""),
            ("maturity in (7", "\",\" or \")\" was expected at character 15, not the end"),
            ("(maturity = 7", "\")\" was expected at character 14, not the end"),
            (
                "maturity = 7 genres",
                "\"and\", \"or\" or the end was expected at character 14, not \"genres\"",
            ),
            ("genres = 'é", "a closing quote was expected at character 10, not \"'é\""),
            ("genres ! 7", "a column, a value or a sign was expected at character 8, not \"! 7\""),
            (
                "year = 7",
                "the items have no column \"year\"; their columns are genres, maturity, release year, key",
            ),
        ] {
            let error = fulfilling(&catalog, text).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{text}: {error}");
        }
        let deep = format!("{}maturity = 7{}", "(".repeat(5000), ")".repeat(5000));
        assert!(fulfilling(&catalog, &deep).is_err());
        assert!(fulfilling(&catalog, &"not ".repeat(5000)).is_err());
    }
}
