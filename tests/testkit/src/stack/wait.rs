//! Waiting for what replicas answer, and for what they log.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use tokio::time::{Instant, interval};

use super::{Stack, TIMEOUT};

impl Stack {
    /// Waits until all replicas that run are ready.
    ///
    /// # Errors
    /// If one is not within the time limit.
    pub async fn ready(&mut self) -> Result<()> {
        for number in 0..self.replicas.len() {
            if self.replicas[number].runs() {
                self.readiness(number, "ready", |status, _| status == 200).await?;
            }
        }
        Ok(())
    }

    /// Waits until the replica with this index in [`Self::replicas`] answers `/health/ready` with a status and a body
    /// for which `reached` is true. Returns the body.
    ///
    /// # Errors
    /// If it does not within the time limit, or has ended.
    pub async fn readiness(
        &mut self,
        number: usize,
        what: &str,
        reached: impl Fn(u16, &Value) -> bool,
    ) -> Result<Value> {
        let replica = &mut self.replicas[number];
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let (deadline, mut looks) = (Instant::now() + TIMEOUT, interval(Duration::from_millis(25)));
        loop {
            looks.tick().await;
            let answer = async {
                let answer = http.get(format!("http://{}/health/ready", replica.address)).send().await.ok()?;
                Some((answer.status().as_u16(), answer.json::<Value>().await.ok()?))
            };
            let answer = answer.await;
            match answer {
                Some((status, body)) if reached(status, &body) => return Ok(body),
                answer if Instant::now() > deadline => {
                    bail!("{replica} is not {what}, even after {TIMEOUT:?}; it says {answer:?}")
                }
                _ => ensure!(replica.runs(), "{replica} has ended by itself"),
            }
        }
    }

    /// Waits until the log of the replica with this index in [`Self::replicas`] contains this text.
    ///
    /// # Errors
    /// If it does not within the time limit.
    pub async fn says(&self, number: usize, words: &str) -> Result<()> {
        let (deadline, mut looks) = (Instant::now() + TIMEOUT, interval(Duration::from_millis(25)));
        let replica = &self.replicas[number];
        while !replica.log().contains(words) {
            ensure!(Instant::now() < deadline, "{replica} does not say {words:?}, even after {TIMEOUT:?}");
            looks.tick().await;
        }
        Ok(())
    }
}
