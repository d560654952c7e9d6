//! The words an option list is made of, and what to say about all others.

use proc_macro2::{Ident, Span};
use syn::parse::ParseStream;
use syn::{Lit, Token};

use crate::attr::Place;
use crate::errors::Ctxt;

/// The options of `#[span(…)]`, in the order in which an error lists them.
pub(crate) const ATTRIBUTE_WORDS: &[&str] =
    &["name", "attributes", "args", "parent", "root", "inactive", "err", "ret", "source", "stream", "crate"];

/// The options of `span!(…)`; any other `key = value` there is an attribute of the span.
pub(crate) const BLOCK_WORDS: &[&str] = &["parent", "root", "inactive", "source", "crate"];

/// Where a segment's name comes from, as `sentry.segment.name.source` has it.
pub(crate) const SOURCES: &[&str] = &["custom", "url", "route", "view", "component", "task"];

/// What replaces a word of the legacy API, if `word` is one. `input` stands behind the word: where
/// a literal value follows, the message repeats it, so that it can be pasted.
pub(crate) fn legacy(place: Place, word: &Ident, input: ParseStream<'_>) -> Option<String> {
    let given = word.to_string();
    let attribute = |pair: &str| match place {
        Place::Function => format!("write `attributes({pair})`"),
        Place::Block => format!("write `{pair}`"),
    };
    let way_out = match given.as_str() {
        "op" | "set_op" => {
            let value = literal_after(input).unwrap_or_else(|| "…".to_owned());
            attribute(&format!("\"sentry.op\" = {value}"))
        }
        "description" | "set_description" | "transaction" => {
            let value = literal_after(input).unwrap_or_else(|| "…".to_owned());
            match place {
                Place::Function => format!("write `name = {value}`"),
                Place::Block => {
                    format!("the name is the first argument: `span!({value}, {{ … }})`")
                }
            }
        }
        "set_transaction_name" => match place {
            Place::Function => "write `name = …`".to_owned(),
            Place::Block => "the name is the first argument: `span!(\"name\", { … })`".to_owned(),
        },
        // Of a block's attributes these are keys as good as any: `status = code`.
        "status" | "start_child" | "finish" if place == Place::Block && input.peek(Token![=]) => return None,
        "start_child" => "a span that starts while another is current is its child".to_owned(),
        "finish" => match place {
            Place::Function => "a span ends when its function is left".to_owned(),
            Place::Block => "a span ends when its block is left".to_owned(),
        },
        "status" | "set_status" => "an `Err` sets the status `error`; for any other reason call \
                                    `current_span().set_status(Status::Error)`"
            .to_owned(),
        "tag" | "tags" | "set_tag" | "data" | "set_data" => attribute("\"key\" = value"),
        _ => return None,
    };
    Some(format!("`{given}` belongs to the legacy API; {way_out}"))
}

/// Reports a word that is no option at all: what was given, what was probably meant, what works.
pub(crate) fn unknown(place: Place, word: &Ident, cx: &mut Ctxt) {
    let given = word.to_string();
    let (what, words) = match place {
        Place::Function => ("`#[span]`", ATTRIBUTE_WORDS),
        Place::Block => ("`span!`", BLOCK_WORDS),
    };
    let meant = match nearest(&given, words) {
        Some(near) => format!(", did you mean `{near}`?"),
        None => ";".to_owned(),
    };
    let listed = words.join("`, `");
    cx.error(word.span(), format!("unknown option `{given}`{meant} {what} takes `{listed}`"));
}

/// Reports a `source` that Sentry does not know.
pub(crate) fn unknown_source(given: &str, at: Span, cx: &mut Ctxt) {
    let meant = match nearest(given, SOURCES) {
        Some(near) => format!(", did you mean \"{near}\"?"),
        None => ";".to_owned(),
    };
    let listed = SOURCES.join("\", \"");
    cx.error(at, format!("unknown source \"{given}\"{meant} it is one of \"{listed}\""));
}

/// The word that `given` is a slip of the pen for: at most a third of its letters differ.
pub(crate) fn nearest<'a>(given: &str, words: &[&'a str]) -> Option<&'a str> {
    words
        .iter()
        .map(|word| (edit_distance(given, word), *word))
        .filter(|(distance, word)| distance * 3 <= word.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// How many letters must be added, dropped or changed to turn one word into the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // row[i] is the distance between the letters of `from` read so far and the first i of `to`.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (read, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (i, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[i + 1];
            row[i + 1] = changed.min(row[i] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

/// The literal in `= "literal"`, as it would be printed, without consuming anything.
fn literal_after(input: ParseStream<'_>) -> Option<String> {
    let ahead = input.fork();
    ahead.parse::<Token![=]>().ok()?;
    let literal: Lit = ahead.parse().ok()?;
    match literal {
        Lit::Str(text) => Some(format!("{:?}", text.value())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_a_slip_of_the_pen_and_no_guess() {
        assert_eq!(nearest("nam", ATTRIBUTE_WORDS), Some("name"));
        assert_eq!(nearest("atributes", ATTRIBUTE_WORDS), Some("attributes"));
        assert_eq!(nearest("inactiv", BLOCK_WORDS), Some("inactive"));
        assert_eq!(nearest("fields", ATTRIBUTE_WORDS), None);
        assert_eq!(nearest("level", ATTRIBUTE_WORDS), None);
    }

    #[test]
    fn edit_distance_counts_letters() {
        assert_eq!(edit_distance("", "root"), 4);
        assert_eq!(edit_distance("root", "root"), 0);
        assert_eq!(edit_distance("roto", "root"), 2);
        assert_eq!(edit_distance("parents", "parent"), 1);
    }
}
