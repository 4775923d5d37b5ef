use std::net::SocketAddr;

use clap::Args;
use reqwest::Url;
use shared_events::Service;

/// Where the console listens.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Console")]
pub struct ConsoleSettings {
    /// Address of the console. An address beyond this machine requires an admin token, with which one logs in
    #[arg(long, env = "CONSOLE_LISTEN", default_value = "127.0.0.1:8000")]
    pub console_listen: SocketAddr,
}

/// The addresses of the services, as the console reaches them.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Services")]
pub struct Addresses {
    /// Address of the order service
    #[arg(long, env = "ORDER_URL", default_value = "http://127.0.0.1:8001", value_parser = http_url)]
    pub order_url: Url,
    /// Address of the inventory service
    #[arg(long, env = "INVENTORY_URL", default_value = "http://127.0.0.1:8002", value_parser = http_url)]
    pub inventory_url: Url,
    /// Address of the payment service
    #[arg(long, env = "PAYMENT_URL", default_value = "http://127.0.0.1:8003", value_parser = http_url)]
    pub payment_url: Url,
    /// Address of the order service for operators, if that is another (its --operations-listen)
    #[arg(long, env = "ORDER_OPERATIONS_URL", value_parser = http_url)]
    pub order_operations_url: Option<Url>,
    /// Address of the inventory service for operators, if that is another
    #[arg(long, env = "INVENTORY_OPERATIONS_URL", value_parser = http_url)]
    pub inventory_operations_url: Option<Url>,
    /// Address of the payment service for operators, if that is another
    #[arg(long, env = "PAYMENT_OPERATIONS_URL", value_parser = http_url)]
    pub payment_operations_url: Option<Url>,
}

impl Addresses {
    /// Returns the addresses of services that have one each.
    #[must_use]
    pub fn new([order_url, inventory_url, payment_url]: [Url; 3]) -> Self {
        Self {
            order_url,
            inventory_url,
            payment_url,
            order_operations_url: None,
            inventory_operations_url: None,
            payment_operations_url: None,
        }
    }

    /// Returns where the admin endpoints and the metrics of one service are.
    #[must_use]
    pub fn operations_of(&self, service: Service) -> &Url {
        let own = match service {
            Service::Order => &self.order_operations_url,
            Service::Inventory => &self.inventory_operations_url,
            Service::Payment => &self.payment_operations_url,
        };
        own.as_ref().unwrap_or_else(|| self.of(service))
    }

    /// Returns the address of one service.
    #[must_use]
    pub fn of(&self, service: Service) -> &Url {
        match service {
            Service::Order => &self.order_url,
            Service::Inventory => &self.inventory_url,
            Service::Payment => &self.payment_url,
        }
    }
}

/// Why a text is not the address of a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHttp {
    /// It is no URL.
    #[error("is not an address such as http://127.0.0.1:8001: {0}")]
    NotAUrl(String),
    /// It is of another protocol.
    #[error("must begin with http:// or https://")]
    OtherScheme,
}

/// Parses the address of a service.
///
/// # Errors
/// If it is no URL, or neither `http` nor `https`.
pub fn http_url(text: &str) -> Result<Url, NotHttp> {
    let url: Url = text.parse().map_err(|error| NotHttp::NotAUrl(format!("{error}")))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(NotHttp::OtherScheme) }
}
