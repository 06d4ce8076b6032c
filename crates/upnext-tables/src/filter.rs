//! Which events are kept: conditions on columns.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::table::Value;

/// A condition on a column of an event file, such as `rating >= 4` or `device != tv`.
///
/// Where both sides are numbers they are compared as numbers, otherwise `=` and `!=` compare text. A field that is
/// empty, missing or cannot be compared fulfils no condition but `!=`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with.
    pub value: String,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// `>=`
    #[serde(rename = ">=")]
    AtLeast,
    /// `<=`
    #[serde(rename = "<=")]
    AtMost,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
    /// `>`
    #[serde(rename = ">")]
    Above,
    /// `<`
    #[serde(rename = "<")]
    Below,
    /// `=` or `==`
    #[serde(rename = "=")]
    Equal,
}

impl std::str::FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // Longer operators first, so that `>=` is not read as `>`.
        let operators = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            ("!=", Operator::NotEqual),
            ("==", Operator::Equal),
            (">", Operator::Above),
            ("<", Operator::Below),
            ("=", Operator::Equal),
        ];
        let refuse = || Error::Condition { text: text.into() };
        let found = operators.iter().filter_map(|(sign, operator)| Some((text.find(sign)?, sign, *operator)));
        let (at, sign, operator) =
            found.min_by_key(|(at, sign, _)| (*at, 2 - sign.len())).ok_or_else(refuse)?;
        let (column, value) = (text[..at].trim(), text[at + sign.len()..].trim());
        let value = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
        let ordered = !matches!(operator, Operator::Equal | Operator::NotEqual);
        if column.is_empty() || (ordered && value.parse::<f64>().is_err()) {
            return Err(refuse());
        }
        Ok(Self { column: column.into(), operator, value: value.into() })
    }
}

impl Condition {
    /// Whether a field fulfils it.
    pub(crate) fn holds(&self, field: Value<'_>) -> bool {
        let text = match field {
            Value::Text(bytes) => std::str::from_utf8(bytes).unwrap_or_default().trim_ascii(),
            _ => "",
        };
        let number = match field {
            Value::Whole(number) | Value::Instant(number) => Some(number as f64),
            Value::Real(number) => Some(number),
            Value::Text(_) => text.parse().ok(),
            Value::Missing => None,
        };
        let numbers = number.zip(self.value.parse::<f64>().ok());
        let order = match numbers {
            Some((left, right)) => left.partial_cmp(&right),
            None if text == self.value && field != Value::Missing => Some(Ordering::Equal),
            None => None,
        };
        match self.operator {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::NotEqual => order != Some(Ordering::Equal),
            Operator::Above => order == Some(Ordering::Greater),
            Operator::Below => order == Some(Ordering::Less),
            Operator::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Operator::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_numbers_and_text() {
        let holds = |condition: &str, field: Value<'_>| condition.parse::<Condition>().unwrap().holds(field);
        assert!(holds("rating >= 4", Value::Text(b"4.0")) && !holds("rating>=4", Value::Text(b"3.5")));
        assert!(holds("rating < 4", Value::Whole(3)) && holds("rating <= 4", Value::Real(4.0)));
        assert!(holds("rating == 4", Value::Text(b"4.00")) && !holds("rating > 4", Value::Text(b"4")));
        assert!(holds("device = tv", Value::Text(b"tv")) && holds("device != 'tv'", Value::Text(b"web")));
        assert!(holds("a!=", Value::Text(b"x")) && !holds("a!=", Value::Text(b"")));
        for empty in [Value::Text(b""), Value::Missing, Value::Text(b"\xff")] {
            assert!(!holds("rating >= 4", empty) && holds("device != tv", empty));
        }
        for bad in ["rating", "rating >= good", ">= 4", ""] {
            assert!(bad.parse::<Condition>().is_err(), "{bad}");
        }
    }
}
