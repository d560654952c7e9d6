//! The annotated item: its signature parsed, its head and its body kept as the user's own tokens.
//!
//! Half-typed bodies therefore reach the compiler and the editor as they are, and every span in
//! them stays the user's.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::{Attribute, FnArg, Pat, ReturnType, Signature, Token, Type, Visibility};

use crate::errors::Ctxt;

/// A function with a body.
pub(crate) struct Function {
    /// Attributes, visibility, signature: everything before the body.
    pub(crate) head: TokenStream,
    pub(crate) sig: Signature,
    /// `#![…]` at the start of the body.
    pub(crate) inner_attrs: TokenStream,
    /// The braces and what is in them, without the inner attributes.
    pub(crate) body: Group,
}

impl Function {
    /// Takes the item apart, or reports why `attribute`, such as `#[span]`, cannot stand on it.
    pub(crate) fn parse(attribute: &str, item: &TokenStream, cx: &mut Ctxt) -> Option<Function> {
        let mut head: Vec<TokenTree> = item.clone().into_iter().collect();
        let last = head.pop();
        let keyword = match keyword_of(attribute, item) {
            Ok(keyword) => keyword,
            Err(error) => {
                cx.push(error);
                return None;
            }
        };
        if keyword != "fn" {
            cx.error(keyword.span(), not_a_function(attribute, &keyword.to_string()));
            return None;
        }
        let Some(body) = last.as_ref().and_then(braces) else {
            let end = last.map_or_else(Span::call_site, |token| token.span());
            cx.error(end, format!("this function has no body to run; put `{attribute}` on its implementations"));
            return None;
        };
        let head: TokenStream = head.into_iter().collect();
        let sig = match syn::parse2::<Head>(head.clone()) {
            Ok(Head(sig)) => sig,
            Err(error) => {
                cx.push(error);
                return None;
            }
        };
        let (inner_attrs, body) = split_inner_attrs(body);
        Some(Function { head, sig, inner_attrs, body })
    }

    /// The declared return type; none for `()`, written or not.
    pub(crate) fn output(&self) -> Option<&Type> {
        match &self.sig.output {
            ReturnType::Type(_, ty) if !is_unit(ty) => Some(ty),
            _ => None,
        }
    }

    /// The names that the parameters bind, patterns included.
    pub(crate) fn arguments(&self) -> Vec<Ident> {
        let mut names = Vec::new();
        for input in &self.sig.inputs {
            if let FnArg::Typed(argument) = input {
                bound_names(&argument.pat, &mut names);
            }
        }
        names
    }
}

/// Attributes, visibility and `default` are passed over: only the signature is looked into.
struct Head(Signature);

impl Parse for Head {
    fn parse(input: ParseStream<'_>) -> syn::Result<Head> {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        if input.peek(Token![default]) {
            input.parse::<Token![default]>()?;
        }
        input.parse().map(Head)
    }
}

/// The braces that a token is, also where a `macro_rules!` fragment wrapped them.
pub(crate) fn braces(token: &TokenTree) -> Option<Group> {
    let TokenTree::Group(group) = token else {
        return None;
    };
    match group.delimiter() {
        Delimiter::Brace => Some(group.clone()),
        Delimiter::None => {
            let mut inner = group.stream().into_iter();
            let first = inner.next()?;
            match inner.next() {
                None => braces(&first),
                Some(_) => None,
            }
        }
        _ => None,
    }
}

/// A group with other tokens in it, at the same place.
pub(crate) fn regroup(group: &Group, tokens: TokenStream) -> Group {
    let mut changed = Group::new(group.delimiter(), tokens);
    changed.set_span(group.span());
    changed
}

/// The word that says what an item is: `fn`, `struct`, `impl`, …
fn keyword_of(attribute: &str, item: &TokenStream) -> syn::Result<Ident> {
    let find = |input: ParseStream<'_>| {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        let mut first = None;
        let mut found = None;
        while !input.is_empty() {
            if !input.peek(Ident::peek_any) {
                // The ABI of `extern "C" fn`, or the end of an item's opening words.
                if input.peek(syn::LitStr) {
                    input.parse::<syn::LitStr>()?;
                    continue;
                }
                break;
            }
            let word = input.call(Ident::parse_any)?;
            let text = word.to_string();
            first.get_or_insert_with(|| word.clone());
            match text.as_str() {
                "default" | "const" | "async" | "unsafe" | "safe" | "extern" => {}
                _ => {
                    found = Some(word);
                    break;
                }
            }
        }
        let end = input.span();
        input.parse::<TokenStream>()?;
        // In `const LIMIT: u8` and `async { … }` the word read last is none of an item's.
        match (first, found) {
            (_, Some(word)) if is_item_word(&word) => Ok(word),
            (Some(word), _) => Ok(word),
            (None, _) => Err(syn::Error::new(end, not_a_function(attribute, ""))),
        }
    };
    find.parse2(item.clone())
}

fn is_item_word(word: &Ident) -> bool {
    const WORDS: &[&str] =
        &["fn", "struct", "enum", "union", "impl", "trait", "mod", "type", "static", "use", "crate", "macro_rules"];
    WORDS.iter().any(|known| word == known)
}

/// What to do instead, for each kind of item.
fn not_a_function(attribute: &str, keyword: &str) -> String {
    let instead = match keyword {
        "impl" => "put it on its methods",
        "trait" => "put it on methods that have a default body, or on their implementations",
        "mod" => "put it on the functions of the module",
        "struct" | "enum" | "union" => "put it on functions and methods that work with the type",
        _ if attribute != "#[span]" => "put it on the function around it",
        _ => "to run anything else in a span, write `span!(\"name\", { … })`",
    };
    match keyword {
        "impl" | "trait" | "mod" | "struct" | "enum" | "union" | "type" | "static" | "use" | "const"
        | "macro_rules" => {
            format!("`{attribute}` goes on functions, and this `{keyword}` is none; {instead}")
        }
        _ => format!("`{attribute}` goes on functions, and this is none; {instead}"),
    }
}

/// Takes `#![…]` off the start of a body.
fn split_inner_attrs(body: Group) -> (TokenStream, Group) {
    let tokens: Vec<TokenTree> = body.stream().into_iter().collect();
    let mut end = 0;
    while let Some([TokenTree::Punct(hash), TokenTree::Punct(bang), TokenTree::Group(_)]) = tokens.get(end..end + 3) {
        if hash.as_char() != '#' || bang.as_char() != '!' {
            break;
        }
        end += 3;
    }
    if end == 0 {
        return (TokenStream::new(), body);
    }
    let mut tokens = tokens.into_iter();
    let inner_attrs = tokens.by_ref().take(end).collect();
    (inner_attrs, regroup(&body, tokens.collect()))
}

fn is_unit(ty: &Type) -> bool {
    match ty {
        Type::Tuple(tuple) => tuple.elems.is_empty(),
        Type::Paren(inner) => is_unit(&inner.elem),
        Type::Group(inner) => is_unit(&inner.elem),
        _ => false,
    }
}

fn bound_names(pat: &Pat, names: &mut Vec<Ident>) {
    match pat {
        Pat::Ident(binding) => {
            names.push(binding.ident.clone());
            if let Some((_, inner)) = &binding.subpat {
                bound_names(inner, names);
            }
        }
        Pat::Tuple(tuple) => tuple.elems.iter().for_each(|pat| bound_names(pat, names)),
        Pat::TupleStruct(tuple) => tuple.elems.iter().for_each(|pat| bound_names(pat, names)),
        Pat::Slice(slice) => slice.elems.iter().for_each(|pat| bound_names(pat, names)),
        Pat::Struct(fields) => fields.fields.iter().for_each(|field| bound_names(&field.pat, names)),
        Pat::Reference(inner) => bound_names(&inner.pat, names),
        Pat::Paren(inner) => bound_names(&inner.pat, names),
        Pat::Type(typed) => bound_names(&typed.pat, names),
        _ => {}
    }
}
