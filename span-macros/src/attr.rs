//! Parses the options of `#[span(…)]` and of `span!(…)` into one typed model.
//!
//! A mistake in one option is reported and the next option is read: whoever made three mistakes
//! sees three messages.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, Lit, LitStr, Path, Token, parenthesized};

use crate::errors::Ctxt;
use crate::words;

/// Which of the two macros an option list belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `#[span(…)]`
    Function,
    /// `span!("name", …, { … })`
    Block,
}

/// What the user asked for. Each field keeps the tokens it came from, for their spans.
#[derive(Default)]
pub(crate) struct Options {
    /// Every option's word, once, in the order given: what "twice" and "the later one" go by.
    given: Vec<Ident>,
    /// `crate = path`
    pub(crate) krate: Option<Path>,
    pub(crate) name: Option<Name>,
    pub(crate) attributes: Vec<Attribute>,
    /// `args(a, b)`
    pub(crate) args: Vec<Ident>,
    /// `parent = expr`; `parent = None` is [`Parent::Root`], as is `root`.
    pub(crate) parent: Option<Parent>,
    /// `source = "route"`
    pub(crate) source: Option<LitStr>,
}

/// A span's name: known when the program is compiled, or built when the span starts.
pub(crate) enum Name {
    Static(LitStr),
    Runtime(Expr),
}

/// `"key" = value` or `dotted.key = value`.
pub(crate) struct Attribute {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Expr,
}

impl Attribute {
    /// The value's text, where it is a string literal and can live in the call site.
    pub(crate) fn static_value(&self) -> Option<&LitStr> {
        string_literal(&self.value)
    }
}

/// What the span is a child of, where that is not the current span.
pub(crate) enum Parent {
    Root,
    Of(Expr),
}

impl Options {
    /// Reads the tokens between the parentheses of `#[span(…)]`.
    pub(crate) fn of_attribute(tokens: TokenStream, cx: &mut Ctxt) -> Options {
        let mut options = Options::default();
        parse_with(tokens, cx, |input, cx| {
            // `#[span("name")]`: the name may come first, on its own.
            if input.peek(LitStr) {
                let name: LitStr = input.parse()?;
                options.given.push(Ident::new("name", name.span()));
                options.name = checked_name(Expr::Lit(literal_expr(name)), cx);
                end_of_entry(input, cx);
            }
            entries(input, cx, |input, cx| options.entry(Place::Function, input, cx));
            Ok(())
        });
        options
    }

    /// Reads what stands before the block of `span!(…)`: the name, then attributes and options.
    pub(crate) fn of_block(header: TokenStream, cx: &mut Ctxt) -> Options {
        let mut options = Options::default();
        parse_with(header, cx, |input, cx| {
            if starts_with_word(input, "name") {
                // Said of the word itself, which is read as an entry below.
            } else if input.is_empty() || starts_with_pair(input) {
                let at = if input.is_empty() { Span::call_site() } else { input.span() };
                cx.error(at, "the name is missing: it is the first argument, as in `span!(\"name\", { … })`");
            } else {
                match input.parse::<Expr>() {
                    Ok(name) => options.name = checked_name(name, cx),
                    Err(error) => {
                        cx.push(error);
                        skip_to_comma(input);
                    }
                }
                end_of_entry(input, cx);
            }
            entries(input, cx, |input, cx| options.entry(Place::Block, input, cx));
            Ok(())
        });
        options
    }

    /// The word of an option, if it was given.
    pub(crate) fn given(&self, word: &str) -> Option<&Ident> {
        self.given.iter().find(|given| *given == word)
    }

    /// The one of two options that was given later, if both were.
    pub(crate) fn later_of(&self, one: &str, other: &str) -> Option<&Ident> {
        let (one, other) = (self.position(one)?, self.position(other)?);
        self.given.get(one.max(other))
    }

    fn position(&self, word: &str) -> Option<usize> {
        self.given.iter().position(|given| given == word)
    }

    /// The one place where an option given twice is noticed. Its value is still read, and dropped.
    fn give(&mut self, word: &Ident, cx: &mut Ctxt) -> bool {
        if self.given(&word.to_string()).is_some() {
            cx.error(word.span(), format!("`{word}` is given twice"));
            return false;
        }
        self.given.push(word.clone());
        true
    }

    fn entry(&mut self, place: Place, input: ParseStream<'_>, cx: &mut Ctxt) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            return match place {
                Place::Function => {
                    Err(input.error("expected an option such as `name = \"…\"` or `attributes(\"key\" = value)`"))
                }
                Place::Block => self.attribute(input, cx),
            };
        }
        let ahead = input.fork();
        let word = ahead.call(Ident::parse_any)?;
        if place == Place::Block && ahead.peek(Token![.]) {
            return self.attribute(input, cx);
        }
        if let Some(message) = words::legacy(place, &word, &ahead) {
            cx.error(word.span(), message);
            skip_to_comma(input);
            return Ok(());
        }
        match place {
            Place::Function => self.function_entry(input, cx),
            Place::Block => self.block_entry(&word, &ahead, input, cx),
        }
    }

    fn function_entry(&mut self, input: ParseStream<'_>, cx: &mut Ctxt) -> syn::Result<()> {
        let word = input.call(Ident::parse_any)?;
        let text = word.to_string();
        if !words::ATTRIBUTE_WORDS.contains(&text.as_str()) {
            words::unknown(Place::Function, &word, cx);
            skip_to_comma(input);
            return Ok(());
        }
        let first = self.give(&word, cx);
        match text.as_str() {
            "name" => {
                let value = value_of(&word, input)?;
                let name = checked_name(value, cx);
                if first {
                    self.name = name;
                }
            }
            "attributes" => {
                let list = list_of(&word, "\"key\" = value", input)?;
                parse_with(list, cx, |input, cx| {
                    entries(input, cx, |input, cx| self.attribute(input, cx));
                    Ok(())
                });
            }
            "args" => {
                let list = list_of(&word, "order, total", input)?;
                parse_with(list, cx, |input, cx| {
                    entries(input, cx, |input, _| {
                        self.args.push(argument(input)?);
                        Ok(())
                    });
                    Ok(())
                });
            }
            "err" | "ret" | "stream" => flag(&word, input)?,
            _ => self.common_entry(&word, first, input, cx)?,
        }
        Ok(())
    }

    fn block_entry(
        &mut self,
        word: &Ident,
        ahead: ParseStream<'_>,
        input: ParseStream<'_>,
        cx: &mut Ctxt,
    ) -> syn::Result<()> {
        let text = word.to_string();
        if words::BLOCK_WORDS.contains(&text.as_str()) {
            let word = input.call(Ident::parse_any)?;
            let first = self.give(&word, cx);
            return self.common_entry(&word, first, input, cx);
        }
        let message = match text.as_str() {
            "name" if ahead.peek(Token![=]) => {
                "the name is the first argument, without a word before it: `span!(\"name\", { … })`"
            }
            "attributes" => "in `span!` attributes stand for themselves: write `\"key\" = value`",
            "args" => "`args` belongs to `#[span]`; write `\"key\" = value`",
            "err" | "ret" | "stream" if !ahead.peek(Token![=]) => {
                "this option belongs to `#[span]`; a block's value is not recorded"
            }
            _ if ahead.peek(Token![=]) => return self.attribute(input, cx),
            _ => {
                words::unknown(Place::Block, word, cx);
                skip_to_comma(input);
                return Ok(());
            }
        };
        cx.error(word.span(), message);
        skip_to_comma(input);
        Ok(())
    }

    /// The options that both macros take. `word` has been read already.
    fn common_entry(&mut self, word: &Ident, first: bool, input: ParseStream<'_>, cx: &mut Ctxt) -> syn::Result<()> {
        match word.to_string().as_str() {
            "parent" => {
                let value = value_of(word, input)?;
                if first {
                    self.parent = Some(match is_none(&value) {
                        true => Parent::Root,
                        false => Parent::Of(value),
                    });
                }
            }
            "root" => {
                flag(word, input)?;
                if self.parent.is_none() {
                    self.parent = Some(Parent::Root);
                }
            }
            "inactive" => flag(word, input)?,
            "source" => {
                let value = value_of(word, input)?;
                match string_literal(&value) {
                    Some(text) if words::SOURCES.contains(&text.value().as_str()) => {
                        self.source = Some(text.clone());
                    }
                    Some(text) => words::unknown_source(&text.value(), text.span(), cx),
                    None => {
                        cx.error(
                            value.span(),
                            "`source` is fixed when the program is compiled: write a string literal",
                        );
                    }
                }
            }
            // `crate` is all that is left of the words.
            _ => {
                assignment(word, input)?;
                self.krate = Some(input.call(Path::parse_mod_style)?);
            }
        }
        Ok(())
    }

    fn attribute(&mut self, input: ParseStream<'_>, cx: &mut Ctxt) -> syn::Result<()> {
        self.attributes.push(pair(input, cx)?);
        Ok(())
    }
}

/// `"key" = value` or `dotted.key = value`.
pub(crate) fn pair(input: ParseStream<'_>, cx: &mut Ctxt) -> syn::Result<Attribute> {
    let key_span = input.span();
    let key = key(input)?;
    if key.is_empty() {
        cx.error(key_span, "the key is empty");
    }
    if !input.peek(Token![=]) || input.peek(Token![==]) {
        return Err(syn::Error::new(key_span, format!("`{key}` has no value: write `\"{key}\" = value`")));
    }
    let sign: Token![=] = input.parse()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new(sign.span, format!("expected the value of `{key}` after `=`")));
    }
    let value = input.parse()?;
    Ok(Attribute { key, key_span, value })
}

/// Runs a parser that reports into `cx` and consumes all of `tokens`.
pub(crate) fn parse_with(
    tokens: TokenStream,
    cx: &mut Ctxt,
    parser: impl FnOnce(ParseStream<'_>, &mut Ctxt) -> syn::Result<()>,
) {
    let parsed = (|input: ParseStream<'_>| parser(input, &mut *cx)).parse2(tokens);
    if let Err(error) = parsed {
        cx.push(error);
    }
}

/// Entries between commas, a trailing comma allowed. An entry that fails costs only itself.
pub(crate) fn entries(
    input: ParseStream<'_>,
    cx: &mut Ctxt,
    mut entry: impl FnMut(ParseStream<'_>, &mut Ctxt) -> syn::Result<()>,
) {
    while !input.is_empty() {
        if let Err(error) = entry(input, cx) {
            cx.push(error);
            skip_to_comma(input);
        }
        end_of_entry(input, cx);
    }
}

/// Consumes the comma behind an entry.
pub(crate) fn end_of_entry(input: ParseStream<'_>, cx: &mut Ctxt) {
    if input.is_empty() {
        return;
    }
    if !input.peek(Token![,]) {
        cx.push(input.error("expected `,`"));
        skip_to_comma(input);
    }
    // Either a comma, or the end, which is fine as well.
    let _ = input.parse::<Option<Token![,]>>();
}

/// Moves to the next comma outside of brackets: where reading goes on after a mistake.
pub(crate) fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

/// `= expr` behind an option's word.
pub(crate) fn value_of(word: &Ident, input: ParseStream<'_>) -> syn::Result<Expr> {
    assignment(word, input)?;
    input.parse()
}

/// The `=` behind an option's word, and that something follows it.
pub(crate) fn assignment(word: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if !input.peek(Token![=]) {
        return Err(syn::Error::new(word.span(), format!("`{word}` takes a value: write `{word} = …`")));
    }
    let sign: Token![=] = input.parse()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new(sign.span, format!("expected the value of `{word}` after `=`")));
    }
    Ok(())
}

/// `(…)` behind an option's word.
pub(crate) fn list_of(word: &Ident, example: &str, input: ParseStream<'_>) -> syn::Result<TokenStream> {
    if !input.peek(syn::token::Paren) {
        return Err(syn::Error::new(word.span(), format!("`{word}` takes a list: write `{word}({example})`")));
    }
    let content;
    parenthesized!(content in input);
    content.parse()
}

/// Nothing behind an option's word.
fn flag(word: &Ident, input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(input.error(format!("`{word}` takes no value: write `{word}` alone")))
}

fn argument(input: ParseStream<'_>) -> syn::Result<Ident> {
    if !input.peek(Ident::peek_any) {
        return Err(
            input.error("expected the name of an argument; for any other value write `attributes(\"key\" = value)`")
        );
    }
    let name = input.call(Ident::parse_any)?;
    if name == "self" {
        return Err(syn::Error::new(
            name.span(),
            "`self` is not recorded as a whole; write `attributes(\"key\" = self.field)`",
        ));
    }
    Ok(name)
}

/// A string literal, or names joined by dots; keywords are fine as names (`http.type`).
fn key(input: ParseStream<'_>) -> syn::Result<String> {
    if input.peek(LitStr) {
        return Ok(input.parse::<LitStr>()?.value());
    }
    if !input.peek(Ident::peek_any) {
        return Err(input.error(
            "expected a key: a string literal such as `\"order.id\"`, or names joined by dots such as `order.id`",
        ));
    }
    let mut key = input.call(Ident::parse_any)?.unraw().to_string();
    while input.peek(Token![.]) {
        input.parse::<Token![.]>()?;
        key.push('.');
        key.push_str(&input.call(Ident::parse_any)?.unraw().to_string());
    }
    Ok(key)
}

/// Whether `word = …` comes next.
fn starts_with_word(input: ParseStream<'_>, word: &str) -> bool {
    let ahead = input.fork();
    ahead.call(Ident::parse_any).is_ok_and(|found| found == word) && ahead.peek(Token![=])
}

/// Whether `key = …` comes next, where a name is expected.
fn starts_with_pair(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    key(&ahead).is_ok() && ahead.peek(Token![=]) && !ahead.peek(Token![==])
}

fn checked_name(name: Expr, cx: &mut Ctxt) -> Option<Name> {
    match &name {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            if text.value().trim().is_empty() {
                cx.error(text.span(), "the name is empty: say what the span does");
            }
            Some(Name::Static(text.clone()))
        }
        Expr::Lit(literal) => {
            cx.error(literal.span(), "a name is text: write a string literal or an expression that gives a string");
            None
        }
        _ => Some(Name::Runtime(name)),
    }
}

pub(crate) fn string_literal(value: &Expr) -> Option<&LitStr> {
    match value {
        Expr::Lit(ExprLit { attrs, lit: Lit::Str(text) }) if attrs.is_empty() => Some(text),
        Expr::Group(group) => string_literal(&group.expr),
        _ => None,
    }
}

pub(crate) fn literal_expr(text: LitStr) -> ExprLit {
    ExprLit { attrs: Vec::new(), lit: Lit::Str(text) }
}

/// `None`, written as the word.
fn is_none(value: &Expr) -> bool {
    matches!(value, Expr::Path(path) if path.qself.is_none() && path.path.is_ident("None"))
}
