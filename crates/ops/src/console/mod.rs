//! The console at `/`: a page of a few files that are part of the program, and what a browser is told about them.

mod browser;

pub(crate) use browser::protect;

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// Everything of the page: it loads nothing from anywhere else.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/console.css", "text/css; charset=utf-8", include_str!("page/console.css")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/api.js", SCRIPT, include_str!("page/api.js")),
    ("/console.js", SCRIPT, include_str!("page/console.js")),
    ("/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/flow.js", SCRIPT, include_str!("page/flow.js")),
    ("/lists.js", SCRIPT, include_str!("page/lists.js")),
    ("/overview.js", SCRIPT, include_str!("page/overview.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page's own routes. It holds nothing secret: what it shows comes from the API, with the token if one is set.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, &(path, kind, text)| {
        let answer = move || async move { ([(header::CONTENT_TYPE, kind)], text).into_response() };
        router.route(path, get(answer))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_only_files_that_are_served() {
        let served = |name: &str| FILES.iter().any(|(path, _, _)| path.trim_start_matches('/') == name);
        let names = |text: &'static str, before: &'static str| {
            text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect::<Vec<_>>()
        };
        let mut seen = 0;
        for (path, _, text) in FILES {
            for name in names(text, "src=\"").into_iter().chain(names(text, "from \"./")) {
                assert!(served(name), "{path} names {name}");
                seen += 1;
            }
        }
        assert!(seen > 8, "{seen}");
    }

    #[test]
    fn nothing_in_the_page_needs_more_than_its_policy_allows() {
        const FORBIDDEN: [&str; 8] =
            [" style=\"", " onclick=\"", "<style", "<script>", "innerHTML = ", "eval(", "https://", "http://"];
        for (path, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for inline in FORBIDDEN {
                assert!(!text.contains(inline), "{path} has {inline}");
            }
        }
    }
}
