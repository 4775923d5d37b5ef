//! The console: a web page on which one sees orders flow, what one order went through and what is wrong, and acts. It
//! speaks only the HTTP APIs of the services.
//!
//! Guarantees: the admin token never leaves the server; every change needs a request from a page of the console itself
//! (see `security`); a service that is down is a message on the page, never an error of the console.
//!
//! A page is a file under `pages/` with a `pages::Page`, and one row in `pages::PAGES`.

mod assets;
pub mod client;
mod layout;
mod live;
mod pages;
mod routes;
mod runs;
mod security;
mod sequence;
mod server;
mod settings;
mod state;
mod times;

pub use server::{AdminAccess, Console};
pub use settings::{Addresses, ConsoleSettings, NotHttp, http_url};
