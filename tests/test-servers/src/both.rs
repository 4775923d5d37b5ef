use std::{fmt, panic, thread};

use anyhow::{Context as _, Result};

use crate::{POSTGRES_URL, Postgres, RabbitMq, postgres, rabbitmq};

/// One PostgreSQL and one RabbitMQ. `Display` shows their versions and ports, one line each.
#[derive(Debug)]
pub struct Both {
    /// The database server.
    pub postgres: Postgres,
    /// The broker, with the management plugin.
    pub rabbitmq: RabbitMq,
}

impl Both {
    /// Starts both at the same time.
    ///
    /// # Errors
    /// If one does not start; the other one is stopped then.
    pub fn start() -> Result<Self> {
        let broker = rabbitmq::Options { management: true, ..rabbitmq::Options::default() };
        let (postgres, rabbitmq) = thread::scope(|scope| {
            let rabbitmq = scope.spawn(|| RabbitMq::start(broker));
            let postgres = Postgres::start(postgres::Options::default());
            (postgres, rabbitmq.join().unwrap_or_else(|panic| panic::resume_unwind(panic)))
        });
        Ok(Self { postgres: postgres?, rabbitmq: rabbitmq? })
    }

    /// Returns the environment variables through which tests find the servers.
    ///
    /// # Errors
    /// If the broker was started without the management plugin.
    pub fn environment(&self) -> Result<[(&'static str, String); 3]> {
        let management = self.rabbitmq.management_url().context("the broker has no management")?;
        Ok([
            (POSTGRES_URL, self.postgres.maintenance_url()),
            ("TEST_AMQP_URL", self.rabbitmq.amqp_url()),
            ("TEST_RABBITMQ_MANAGEMENT_URL", management),
        ])
    }

    /// Returns the variables as shell commands, without a final newline.
    ///
    /// # Errors
    /// The same as those of [`Self::environment`].
    pub fn exports(&self) -> Result<String> {
        Ok(self.environment()?.map(|(name, value)| format!("export {name}='{value}'")).join("\n"))
    }
}

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { postgres, rabbitmq } = self;
        writeln!(f, "PostgreSQL {} on port {}", postgres.version(), postgres.port())?;
        write!(f, "RabbitMQ {} on port {}", rabbitmq.version(), rabbitmq.port())?;
        let management = rabbitmq.management_url().and_then(|url| Some(url.rsplit_once(':')?.1.to_owned()));
        management.map_or(Ok(()), |port| write!(f, ", management on port {port}"))
    }
}
