//! The static files: htmx with its extension for server-sent events, one style sheet, one script and the icon. They are
//! part of the program. Each is served under a path with a hash of its content, so that browsers may keep it forever.

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// A static file.
#[derive(Debug)]
pub(crate) struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
    hash: u64,
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

pub(crate) static HTMX: Asset = Asset::new("htmx.js", JAVASCRIPT, include_bytes!("../assets/htmx-2.0.10.min.js"));
pub(crate) static HTMX_SSE: Asset =
    Asset::new("htmx-ext-sse.js", JAVASCRIPT, include_bytes!("../assets/htmx-ext-sse-2.2.4.min.js"));
pub(crate) static SCRIPT: Asset = Asset::new("console.js", JAVASCRIPT, include_bytes!("../assets/console.js"));
pub(crate) static STYLE: Asset =
    Asset::new("console.css", "text/css; charset=utf-8", include_bytes!("../assets/console.css"));
pub(crate) static ICON: Asset = Asset::new("icon.svg", "image/svg+xml", include_bytes!("../assets/icon.svg"));

static ALL: [&Asset; 5] = [&HTMX, &HTMX_SSE, &SCRIPT, &STYLE, &ICON];

impl Asset {
    const fn new(name: &'static str, content_type: &'static str, content: &'static [u8]) -> Self {
        Self { name, content_type, content, hash: fnv1a(content) }
    }

    /// Returns the path at which it is served.
    pub(crate) fn path(&self) -> String {
        format!("/assets/{:016x}/{}", self.hash, self.name)
    }
}

/// The hash FNV-1a, which can be computed at compile time. It only has to differ between releases.
#[allow(long_running_const_eval, reason = "some ten thousand bytes")]
const fn fnv1a(content: &[u8]) -> u64 {
    let (mut hash, mut index) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while index < content.len() {
        hash = (hash ^ content[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
}

/// Serves the file of this name, if the hash is that of its content.
pub(crate) async fn serve(Path((hash, name)): Path<(String, String)>) -> Response {
    let asset = ALL.into_iter().find(|asset| asset.name == name && hash == format!("{:016x}", asset.hash));
    let Some(asset) = asset else { return StatusCode::NOT_FOUND.into_response() };
    let headers =
        [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.content).into_response()
}
