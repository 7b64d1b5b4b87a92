//! The macros of `gateway-sdk`. Owns reading which phases a filter has, so that its module exports just those
//! callbacks: a callback that is not there costs nothing.
//!
//! Reads tokens by itself: what it has to find is an impl block's type and the names of its functions.
#![forbid(unsafe_code)]

mod config;

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// What may stand in `#[filter(...)]`.
const OPTIONS: [&str; 4] =
    ["request_body", "response_body", "rewrites_request_body", "rewrites_response_body"];
/// The callbacks that exist only if the filter has the function, or the option, of that name.
const PHASES: [(&str, &str); 5] = [
    ("on_request", "request"),
    ("on_response", "response"),
    ("on_request_body", "request_body"),
    ("on_response_body", "response_body"),
    ("on_log", "log"),
];

/// Makes the type of this `impl Filter for ...` the filter of the module. Once per module.
///
/// Options, separated by commas: `request_body` and `response_body` let `body()` read the whole body in `on_request` and
/// `on_response`; `rewrites_request_body` and `rewrites_response_body` let `on_request_body` and `on_response_body` take
/// and write bytes. `module = false` checks the block without making it the filter of a module.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, block: TokenStream) -> TokenStream {
    match expand(arguments, block) {
        Ok(tokens) => tokens,
        Err(problem) => format!("::core::compile_error!({problem:?});").parse().unwrap_or_default(),
    }
}

/// Writes down the shape of a configuration; see `gateway_sdk::schema::FilterConfig`.
#[proc_macro_derive(FilterConfig, attributes(config))]
pub fn filter_config(item: TokenStream) -> TokenStream {
    let expanded = match config::expand(item) {
        Ok(expanded) => expanded,
        Err(problem) => format!("::core::compile_error!({problem:?});"),
    };
    expanded.parse().unwrap_or_default()
}

fn expand(arguments: TokenStream, block: TokenStream) -> Result<TokenStream, String> {
    let (options, is_module) = options(arguments)?;
    let mut tokens: Vec<TokenTree> = block.into_iter().collect();
    let Some(TokenTree::Group(body)) = tokens.pop().filter(is_braced) else {
        return Err("#[filter] belongs on an `impl Filter for ...` block".to_owned());
    };
    let filter = implementing_type(&tokens)?;
    let functions = functions(body.stream());
    let has = |name: &str| functions.iter().any(|function| function == name);
    let option = |name: &str| options.iter().any(|option| option == name);
    for (option_name, function) in
        [("rewrites_request_body", "on_request_body"), ("rewrites_response_body", "on_response_body")]
    {
        if option(option_name) && !has(function) {
            return Err(format!("`{option_name}` needs a function `{function}`"));
        }
    }
    let phases = format!(
        "const PHASES: ::gateway_sdk::Phases = ::gateway_sdk::Phases {{ \
         reads_request: {}, reads_response: {}, streams_request: {}, streams_response: {}, \
         rewrites_request: {}, rewrites_response: {} }};",
        option("request_body"),
        option("response_body"),
        has("on_request_body"),
        has("on_response_body"),
        option("rewrites_request_body"),
        option("rewrites_response_body"),
    );
    let mut inside: TokenStream = phases.parse().map_err(|error| format!("{error}"))?;
    inside.extend(body.stream());
    let mut whole = Group::new(Delimiter::Brace, inside);
    whole.set_span(body.span());
    tokens.push(TokenTree::Group(whole));
    let mut expanded: TokenStream = tokens.into_iter().collect();
    if is_module {
        expanded.extend(exports(&filter, &has, &option)?);
    }
    Ok(expanded)
}

/// The callbacks of the module. A rewritten body needs its head, whose length no longer holds; a body that is read
/// needs the head to be held.
fn exports(
    filter: &TokenStream,
    has: &dyn Fn(&str) -> bool,
    option: &dyn Fn(&str) -> bool,
) -> Result<TokenStream, String> {
    let mut names = Vec::new();
    for (function, name) in PHASES {
        let rewrites = option(&format!("rewrites_{name}_body"));
        if has(function) || option(name) || rewrites {
            names.push(name);
        }
    }
    let text = format!("::gateway_sdk::__export!([{filter}] {});", names.join(" "));
    text.parse().map_err(|error| format!("{error}"))
}

fn options(arguments: TokenStream) -> Result<(Vec<String>, bool), String> {
    let (mut options, mut is_module) = (Vec::new(), true);
    for argument in arguments.to_string().split(',').map(str::trim).filter(|argument| !argument.is_empty()) {
        match argument {
            "module = false" => is_module = false,
            known if OPTIONS.contains(&known) => options.push(known.to_owned()),
            unknown => return Err(format!("unknown option `{unknown}`; there are {}", OPTIONS.join(", "))),
        }
    }
    Ok((options, is_module))
}

/// What stands behind `for`.
fn implementing_type(tokens: &[TokenTree]) -> Result<TokenStream, String> {
    let is_for = |token: &TokenTree| matches!(token, TokenTree::Ident(ident) if ident.to_string() == "for");
    let place = tokens.iter().position(is_for);
    let place = place.ok_or("#[filter] belongs on an `impl Filter for ...` block")?;
    Ok(tokens.iter().skip(place + 1).cloned().collect())
}

/// The names of the functions of a block, without what is inside of them.
fn functions(block: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = block.into_iter().collect();
    let named = |pair: &[TokenTree]| match pair {
        [TokenTree::Ident(keyword), TokenTree::Ident(name)] if keyword.to_string() == "fn" => {
            Some(name.to_string())
        }
        _ => None,
    };
    tokens.windows(2).filter_map(named).collect()
}

fn is_braced(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}
