//! The console: a web page on which one sees orders flow, what one order went through and what is wrong, and acts. It
//! speaks only the HTTP APIs of the services.

mod sequence;
