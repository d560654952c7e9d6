//! Checks that look at more than one option, or at an option and the signature.

use std::collections::HashSet;

use syn::ext::IdentExt as _;

use crate::attr::Options;
use crate::errors::Ctxt;
use crate::item::Function;
use crate::types::is_never;

/// What must hold for `#[span(…)]` on a function.
pub(crate) fn check_function(options: &Options, function: &Function, cx: &mut Ctxt) {
    if let Some(token) = &function.sig.constness {
        cx.error(
            token.span,
            "a `const fn` may run when the program is compiled, where there is no clock and no \
             span; remove `const`, or write `span!(\"name\", { … })` around its calls",
        );
    }
    check_common(options, cx);
    check_arguments(options, function, cx);
    check_value_options(options, function, cx);
}

/// What must hold for the header of `span!(…)`.
pub(crate) fn check_block(options: &Options, cx: &mut Ctxt) {
    check_common(options, cx);
}

fn check_common(options: &Options, cx: &mut Ctxt) {
    conflict(options, "root", "parent", "a root has no parent", cx);
    let mut keys = HashSet::new();
    for attribute in &options.attributes {
        if !keys.insert(attribute.key.clone()) {
            cx.error(attribute.key_span, format!("the key `{}` is given twice", attribute.key));
        }
    }
    for name in &options.args {
        let key = name.unraw().to_string();
        if keys.contains(&key) {
            cx.error(name.span(), format!("the key `{key}` is given twice"));
        }
        keys.insert(key);
    }
}

fn check_arguments(options: &Options, function: &Function, cx: &mut Ctxt) {
    let known = function.arguments();
    for name in &options.args {
        if known.contains(name) {
            continue;
        }
        let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let listed = match listed.as_slice() {
            [] => "the function has none to record".to_owned(),
            _ => format!("there is {}", listed.join(", ")),
        };
        cx.error(name.span(), format!("no argument is called `{name}`; {listed}"));
    }
}

/// `err`, `ret` and `stream` work with what the function returns.
fn check_value_options(options: &Options, function: &Function, cx: &mut Ctxt) {
    conflict(options, "stream", "err", "a stream is not a result", cx);
    conflict(options, "stream", "ret", "a stream has no value to record", cx);
    conflict(options, "stream", "inactive", "a stream is polled inside of its span", cx);
    let returns = function.output().is_some_and(|ty| !is_never(ty));
    for (word, needs) in [
        ("err", "a function that returns a `Result`"),
        ("ret", "a function that returns a value"),
        ("stream", "a function that returns a stream"),
    ] {
        let Some(given) = options.given(word) else {
            continue;
        };
        if !returns {
            cx.error(given.span(), format!("`{word}` needs {needs}"));
        }
    }
    if let (Some(given), Some(_)) = (options.given("stream"), &function.sig.asyncness) {
        cx.error(
            given.span(),
            "`stream` covers a stream that a plain function returns; remove `async`, or leave \
             `stream` out to cover the future",
        );
    }
}

/// Two options that exclude each other: the later one is the mistake.
fn conflict(options: &Options, one: &str, other: &str, why: &str, cx: &mut Ctxt) {
    if let Some(later) = options.later_of(one, other) {
        let earlier = if later == one { other } else { one };
        cx.error(later.span(), format!("`{later}` does not go with `{earlier}`: {why}"));
    }
}
