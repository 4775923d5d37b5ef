//! HAProxy in front of the replicas of a stack, with the configuration of `deploy/haproxy/`.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, Result};
use shared_events::Service;
use test_servers::HaProxy;
use tokio::{
    net::UdpSocket,
    task::{JoinHandle, block_in_place},
};

use crate::{client::Client, replica::Replica};

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/haproxy/haproxy.cfg");

/// A load balancer for all three services.
#[derive(Debug)]
pub struct Balancer {
    haproxy: HaProxy,
    _names: NameServer,
    /// Where it listens for order, inventory and payment.
    pub addresses: [SocketAddr; 3],
}

/// Gives the replicas of each service the same port, on different addresses of this machine, so that one name can lead
/// to all of them, as in a network of containers. They must not run yet.
pub fn share_ports(replicas: &mut [Replica]) {
    let mut seen: BTreeMap<Service, (u16, u8)> = BTreeMap::new();
    for replica in replicas {
        let (port, number) = seen.entry(replica.service).or_insert((replica.address.port(), 10));
        *number += 1;
        replica.address = SocketAddr::from(([127, 0, 0, *number], *port));
    }
}

impl Balancer {
    /// Starts HAProxy in front of replicas that [`share_ports`].
    ///
    /// # Errors
    /// If HAProxy is missing or does not start.
    pub async fn start(replicas: &[Replica]) -> Result<Self> {
        let mut known: BTreeMap<String, Vec<Ipv4Addr>> = BTreeMap::new();
        for replica in replicas {
            if let IpAddr::V4(address) = replica.address.ip() {
                known.entry(format!("{}.test", replica.service)).or_default().push(address);
            }
        }
        let names = NameServer::start(known).await?;
        let mut variables =
            vec![("RESOLVER", names.address.to_string()), ("BALANCER_ADDRESS", Ipv4Addr::LOCALHOST.to_string())];
        let mut addresses = Vec::new();
        for (service, name, port) in [
            (Service::Order, "ORDER", "ORDER_PORT"),
            (Service::Inventory, "INVENTORY", "INVENTORY_PORT"),
            (Service::Payment, "PAYMENT", "PAYMENT_PORT"),
        ] {
            let replica = replicas.iter().find(|replica| replica.service == service).context("it has no replica")?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, test_servers::free_port()?));
            variables.push((name, format!("{service}.test:{}", replica.address.port())));
            variables.push((port, address.port().to_string()));
            addresses.push(address);
        }
        let addresses = [addresses[0], addresses[1], addresses[2]];
        let haproxy = block_in_place(|| HaProxy::start(Path::new(CONFIGURATION), &variables, addresses[2]))?;
        Ok(Self { haproxy, _names: names, addresses })
    }

    /// Returns a client of the services behind it.
    ///
    /// # Errors
    /// If no HTTP client can be created.
    pub fn client(&self) -> Result<Client> {
        Client::new(self.addresses)
    }

    /// Returns the log of HAProxy so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.haproxy.log()
    }
}

/// A DNS server that knows the addresses of a few names, like that of Docker. It ends when it is dropped.
#[derive(Debug)]
struct NameServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl NameServer {
    async fn start(known: BTreeMap<String, Vec<Ipv4Addr>>) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let task = tokio::spawn(async move {
            let mut query = [0; 1024];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                if let Some(response) = response(&query[..length], &known) {
                    let _ = socket.send_to(&response, from).await;
                }
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The type of records with IPv4 addresses.
const A: [u8; 2] = [0, 1];

/// Answers a query of one question (RFC 1035): with the addresses, for IPv4, and else with none.
fn response(query: &[u8], known: &BTreeMap<String, Vec<Ipv4Addr>>) -> Option<Vec<u8>> {
    let (head, mut rest) = query.split_at_checked(12)?;
    let mut labels = Vec::new();
    while let Some((&length @ 1.., after)) = rest.split_first() {
        let (label, after) = after.split_at_checked(length.into())?;
        labels.push(std::str::from_utf8(label).ok()?);
        rest = after;
    }
    let kind = rest.get(1..3)?;
    let end = query.len() - rest.len() + 5;
    let addresses = known.get(&labels.join(".").to_ascii_lowercase());
    let addresses = addresses.filter(|_| kind == A).map(Vec::as_slice).unwrap_or_default();
    let mut response = head.get(..2)?.to_vec();
    // A response, recursion available; one question, the answers, nothing else.
    response.extend([0x81, 0x80, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
    response.extend(query.get(12..end)?);
    for address in addresses {
        // The name of the question, class IN, for a second, 4 bytes.
        response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        response.extend(address.octets());
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_all_of_its_addresses() {
        let addresses = vec![Ipv4Addr::new(127, 0, 0, 11), Ipv4Addr::new(127, 0, 0, 12)];
        let known = [("order.test".to_owned(), addresses)].into();
        let query = |name: &[u8], kind: u8| [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0", name, &[0, 0, kind, 0, 1]].concat();
        let name: &[u8] = b"\x05order\x04test";
        let found = response(&query(name, 1), &known).unwrap();
        assert_eq!(found[..12], *b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0");
        assert_eq!(found[12..28], query(name, 1)[12..28]);
        assert!(found[28..].starts_with(b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x04\x7f\0\0\x0b"), "{found:?}");
        for (name, kind) in [(name, 28), (&b"\x05order"[..], 1)] {
            assert_eq!(response(&query(name, kind), &known).unwrap()[7], 0);
        }
        assert_eq!(response(b"\x12\x34", &known), None);
    }
}
