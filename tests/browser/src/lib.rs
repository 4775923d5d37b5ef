//! The harness of the tests of the console in a real browser: Chromium without a window, and the program `order-system`
//! on free ports with its data in a temporary directory.
//!
//! A test uses a page as a user does: it finds what it clicks by the text that one reads, and waits for what is to
//! appear. [`Browser::finish`] checks that the browser reported no error and that no request left the console.

mod browser;
mod console;
mod rules;
mod webdriver;

pub use browser::Browser;
pub use console::{ConsoleAlone, TestSystem};
pub use rules::Scheme;
pub use webdriver::{Element, Session};

/// Keys without a character, of <https://www.w3.org/TR/webdriver2/#keyboard-actions>.
pub mod keys {
    /// The tabulator, which moves the focus.
    pub const TAB: char = '\u{e004}';
    /// The key that activates a link or sends a form.
    pub const ENTER: char = '\u{e007}';
}
