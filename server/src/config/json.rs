//! Converts a plugin's own configuration from TOML to the JSON text that the plugin receives.

use super::problem::Report;
use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// The table as a JSON object. Dates and times become strings.
pub(super) fn from_table(table: &DeTable<'_>, report: &mut Report<'_>) -> String {
    object(table, report).to_string()
}

fn object(table: &DeTable<'_>, report: &mut Report<'_>) -> Value {
    let entry = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        (key.get_ref().to_string(), json(value, report))
    };
    Value::Object(table.iter().map(entry).collect::<Map<String, Value>>())
}

fn json(value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(elements) => elements.iter().map(|e| json(e, report)).collect(),
        DeValue::Table(table) => object(table, report),
        DeValue::Integer(integer) => number(integer_number(integer), value, report),
        DeValue::Float(float) => {
            number(float.as_str().parse().ok().and_then(Number::from_f64), value, report)
        }
    }
}

fn integer_number(integer: &DeInteger<'_>) -> Option<Number> {
    let (digits, radix) = (integer.as_str(), integer.radix());
    let signed = i64::from_str_radix(digits, radix).ok().map(Number::from);
    signed.or_else(|| u64::from_str_radix(digits, radix).ok().map(Number::from))
}

fn number(number: Option<Number>, value: &Spanned<DeValue<'_>>, report: &mut Report<'_>) -> Value {
    if number.is_none() {
        let text = report.text.get(value.span()).unwrap_or_default();
        let why = "this number does not fit in JSON; write it as a string";
        report.problem(&value.span(), format!("[plugin.config]: {text}: {why}"));
    }
    number.map_or(Value::Null, Value::Number)
}
