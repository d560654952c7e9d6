//! Checks that look at more than one option, or at an option and the signature.

use std::collections::HashSet;

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use syn::ext::IdentExt as _;

use crate::attr::Options;
use crate::errors::Ctxt;
use crate::item::Function;
use crate::tail::is_punct;
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

/// A function has one lifecycle: reports the attribute of the other one, where it stands below this one.
pub(crate) fn check_lifecycles(item: &TokenStream, other: &str, cx: &mut Ctxt) {
    if let Some(at) = find_attribute(item, other) {
        let (streams, not) = ("`#[span]` streams", "`#[transaction]` does not");
        cx.error(at.span(), format!("a function has one lifecycle: {streams} and {not}; remove one of them"));
    }
}

/// The item without an attribute `#[transaction]`, which would make another error of the same mistake.
pub(crate) fn without_transaction(item: TokenStream) -> TokenStream {
    without_attribute(item, "transaction")
}

/// The item without an attribute of this name.
pub(crate) fn without_attribute(item: TokenStream, name: &str) -> TokenStream {
    if find_attribute(&item, name).is_none() {
        return item;
    }
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let mut kept = Vec::with_capacity(tokens.len());
    let mut rest = tokens.as_slice();
    while let Some((first, behind)) = rest.split_first() {
        match behind.first() {
            Some(TokenTree::Group(group)) if is_punct(first, '#') && names(group, name).is_some() => {
                rest = behind.get(1..).unwrap_or_default();
            }
            _ => {
                kept.push(first.clone());
                rest = behind;
            }
        }
    }
    kept.into_iter().collect()
}

/// The last word of the path of an attribute with this name, among those at the beginning of an item.
fn find_attribute(item: &TokenStream, name: &str) -> Option<Ident> {
    let mut tokens = item.clone().into_iter();
    while let (Some(hash), Some(TokenTree::Group(group))) = (tokens.next(), tokens.next()) {
        if !is_punct(&hash, '#') {
            break;
        }
        if let Some(word) = names(&group, name) {
            return Some(word);
        }
    }
    None
}

/// The last word of an attribute's path, if it is this one.
fn names(brackets: &Group, name: &str) -> Option<Ident> {
    let path =
        brackets.stream().into_iter().take_while(|token| matches!(token, TokenTree::Ident(_)) || is_punct(token, ':'));
    match path.last() {
        Some(TokenTree::Ident(word)) if word == name => Some(word),
        _ => None,
    }
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
