//! The test harness: starts the real programs and servers, speaks HTTP to them, kills them, takes their servers and
//! their network away, loads them, and checks that they are consistent at the end.
//!
//! - `order-system`, the three services in one process: [`process`], [`client`], [`load`], [`open_loop`];
//! - the services as processes of their own, on servers of their own: [`stack`], [`replica`], [`proxy`], [`load`],
//!   [`consistency`], [`broker`]; and a load balancer in front of their replicas: [`balancer`];
//! - dead letters in their databases: `dead_letters`, with the feature `dead-letters`;
//! - a receiver of their spans: `collector`, and a fake of Stripe: `stripe`, each with the feature of its name;
//! - one service in the process of its test, the rest played by the test: `service`, with the feature of that name.

pub mod balancer;
pub mod broker;
pub mod client;
#[cfg(feature = "collector")]
pub mod collector;
pub mod consistency;
#[cfg(feature = "dead-letters")]
pub mod dead_letters;
pub mod load;
pub mod load_generator;
pub mod open_loop;
pub mod options;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod replica;
mod sending;
#[cfg(feature = "service")]
pub mod service;
pub mod stack;
#[cfg(feature = "stripe")]
pub mod stripe;
pub mod usage;
