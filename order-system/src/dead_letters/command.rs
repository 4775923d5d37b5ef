use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use reqwest::Url;
use service_host::{
    admin::{AdminSettings, RedriveAllView, RedriveOutcome, RedriveView},
    settings::TrustSettings,
};
use shared_events::Service;
use uuid::Uuid;

use super::{
    client::{AdminClient, url},
    print::{self, visible},
};

/// The `dead-letters` command.
#[derive(Debug, Args)]
pub struct DeadLetters {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    admin: AdminSettings,
    #[command(flatten)]
    trust: TrustSettings,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, oldest first, without their bodies
    List(Anywhere),
    /// Show one with its body
    Show {
        /// Id of the message
        message_id: Uuid,
        #[command(flatten)]
        at: Somewhere,
    },
    /// Redrive them as if they had just been delivered; those that cannot be handled remain dead letters
    ///
    /// Exits with 1 if some could not be handled.
    Redrive {
        /// Ids of the messages
        #[arg(required_unless_present = "all")]
        message_ids: Vec<Uuid>,
        /// All dead letters
        #[arg(long, conflicts_with = "message_ids")]
        all: bool,
        #[command(flatten)]
        at: Anywhere,
    },
    /// Delete them permanently
    Discard {
        /// Ids of the messages
        #[arg(required = true)]
        message_ids: Vec<Uuid>,
        #[command(flatten)]
        at: Somewhere,
    },
}

#[derive(Debug, Args)]
struct Anywhere {
    /// Only of this service: order, inventory or payment
    #[arg(long, value_parser = service)]
    service: Option<Service>,
    /// Address of the service, if it is not on this machine and its usual port
    #[arg(long, requires = "service", value_parser = url)]
    url: Option<Url>,
}

#[derive(Debug, Args)]
struct Somewhere {
    /// Service that has the messages: order, inventory or payment
    #[arg(long, value_parser = service)]
    service: Service,
    /// Address of the service, if it is not on this machine and its usual port
    #[arg(long, value_parser = url)]
    url: Option<Url>,
}

impl From<Somewhere> for Anywhere {
    fn from(Somewhere { service, url }: Somewhere) -> Self {
        Self { service: Some(service), url }
    }
}

impl DeadLetters {
    /// Runs the command.
    ///
    /// # Errors
    /// If there is no token, or a service does not answer or refuses the request.
    pub async fn execute(self) -> Result<ExitCode> {
        let token = self.admin.token()?;
        let token = token.context("the admin token is missing: --admin-token (ADMIN_TOKEN) or --admin-token-file")?;
        let clients = |at: Anywhere| -> Result<Vec<AdminClient>> {
            let services = at.service.map_or(Service::ALL.to_vec(), |service| vec![service]);
            let client = |service: Service| {
                let base =
                    at.url.clone().map_or_else(|| url(&format!("http://127.0.0.1:{}", service.default_port())), Ok)?;
                let tls = self.trust.client([&base])?;
                Ok(AdminClient::new(service, base, token.clone(), tls))
            };
            services.into_iter().map(client).collect()
        };
        match self.action {
            Action::List(at) => list(&clients(at)?).await,
            Action::Show { message_id, at } => {
                for client in clients(at.into())? {
                    print!("{}", print::whole(&client.show(message_id).await?));
                }
                Ok(ExitCode::SUCCESS)
            }
            Action::Redrive { all: true, at, .. } => redrive_all(&clients(at)?).await,
            Action::Redrive { message_ids, at, .. } => redrive(&clients(at)?, &message_ids).await,
            Action::Discard { message_ids, at } => {
                for client in clients(at.into())? {
                    for &id in &message_ids {
                        client.discard(id).await?;
                        println!("{id}: discarded");
                    }
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Lists the dead letters. If several services are asked, an error of one is printed, and the others are still listed.
async fn list(clients: &[AdminClient]) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let mut count = 0;
    for client in clients {
        match list_one(client, &mut count).await {
            Ok(()) => {}
            Err(error) if clients.len() == 1 => return Err(error),
            Err(error) => {
                eprintln!("order-system: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    if count == 0 {
        println!("no dead letters");
    }
    Ok(code)
}

/// Lists the dead letters of one service page by page, because there may be very many.
async fn list_one(client: &AdminClient, count: &mut usize) -> Result<()> {
    let mut after = None;
    loop {
        let (page, more) = client.page(after).await?;
        if *count == 0 && !page.is_empty() {
            print!("{}", print::head());
        }
        *count += page.len();
        for letter in &page {
            print!("{}", print::row(client.service, letter));
        }
        match page.last() {
            Some(last) if more => after = Some(last.message_id),
            _ => return Ok(()),
        }
    }
}

async fn redrive(clients: &[AdminClient], message_ids: &[Uuid]) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for &id in message_ids {
        let mut found = false;
        // An event with several consumers may be a dead letter of each of them.
        for client in clients {
            let Some(RedriveView { outcome, reason, .. }) = client.redrive(id).await? else { continue };
            found = true;
            match outcome {
                RedriveOutcome::Handled => println!("{id}: handled by {}", client.service),
                RedriveOutcome::FailedAgain => {
                    println!("{id}: failed again at {}: {}", client.service, visible(&reason.unwrap_or_default()));
                    code = ExitCode::FAILURE;
                }
            }
        }
        if !found {
            bail!("there is no dead letter {id}");
        }
    }
    Ok(code)
}

async fn redrive_all(clients: &[AdminClient]) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for client in clients {
        let RedriveAllView { handled, failed_again, postponed, complete } = client.redrive_all().await?;
        println!("{}: {handled} handled, {failed_again} failed again, {postponed} postponed", client.service);
        if !complete {
            println!("{}: not all were processed, because something is unavailable; try again later", client.service);
        }
        if !complete || failed_again + postponed > 0 {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn service(name: &str) -> Result<Service, &'static str> {
    let service = Service::ALL.into_iter().find(|service| service.name() == name);
    service.ok_or("must be order, inventory or payment")
}
