//! Fair lists: a client that reads long lists without a pause must not take the processors from the others.
//!
//! While other clients send requests, a client reads one list at a time, and pauses after each for a multiple of the
//! time that it took. A client that is alone is not slowed down.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::{Instant, sleep_until, timeout};
use utoipa::openapi::{
    OpenApi, RefOr,
    path::{Operation, Parameter},
};

use super::{Problem, access::Caller, server::Peer};

/// How long a list waits for its turn.
const WAIT: Duration = Duration::from_secs(1);
/// The pause after a list, as a multiple of the time that it took: a client's lists take a tenth of one processor.
const PAUSE: u32 = 9;
/// The longest pause. It is shorter than the wait, so that a client that sends its requests one by one is never
/// refused.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);
/// How long a client counts as one of the others after a request. No test takes an hour.
const RECENT: Duration = Duration::from_secs(if cfg!(test) { 3600 } else { 1 });
/// How many of the clients that have sent the last requests are remembered.
const SLOTS: usize = 64;
/// For how many clients turns are kept that nobody waits for.
const IDLE_TURNS: usize = 1024;

/// The lists of one service.
#[derive(Debug)]
pub(crate) struct Lists {
    paths: HashSet<String>,
    turns: ListTurns,
}

/// Whose turn it is to read a list. Services that share a process share it, because they share its processors.
#[derive(Debug, Clone, Default)]
pub struct ListTurns(Arc<Turns>);

#[derive(Debug)]
struct Turns {
    hashes: RandomState,
    epoch: Instant,
    /// The last clients: in each, the time in milliseconds since the epoch, and 24 bits of the client's hash.
    recent: [AtomicU64; SLOTS],
    /// For each client, when its next list may begin. Whoever has the lock reads a list.
    turns: Mutex<HashMap<u64, Turn>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            hashes: RandomState::new(),
            epoch: Instant::now(),
            recent: [const { AtomicU64::new(0) }; SLOTS],
            turns: Mutex::default(),
        }
    }
}

type Turn = Arc<tokio::sync::Mutex<Instant>>;

/// Returns whether an operation is a list: it has a parameter `limit`.
pub(crate) fn is_list(operation: &Operation) -> bool {
    let is_limit = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(one) if one.name == "limit");
    operation.parameters.iter().flatten().any(is_limit)
}

impl Lists {
    /// Returns the lists among the routes of a document.
    pub(crate) fn of(openapi: &OpenApi) -> Self {
        let lists = openapi.paths.paths.iter().filter(|(_, path)| path.get.as_ref().is_some_and(is_list));
        Self { paths: lists.map(|(path, _)| path.clone()).collect(), turns: ListTurns::default() }
    }

    fn contains(&self, request: &Request) -> bool {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        matches!(*request.method(), Method::GET | Method::HEAD) && path.is_some_and(|path| self.paths.contains(path))
    }
}

impl Turns {
    /// Returns a hash of who sends the request: its API key, or its address.
    fn client(&self, request: &Request) -> u64 {
        let key = request.extensions().get::<Caller>().and_then(Caller::owner);
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| Peer::of(peer.ip()));
        match key {
            Some(owner) => self.hashes.hash_one(owner),
            None => self.hashes.hash_one(peer),
        }
    }

    /// Records a request of this client, and returns whether another client has sent one recently.
    fn others_than(&self, client: u64, is_list: bool) -> bool {
        // Never 0, which is an empty slot.
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or_default() + 1;
        let mark = client & 0x00ff_ffff;
        let slot = &self.recent[(client >> 32) as usize % SLOTS];
        let packed = now << 24 | mark;
        if slot.load(Relaxed) != packed {
            slot.store(packed, Relaxed);
        }
        let recent = u64::try_from(RECENT.as_millis()).unwrap_or(u64::MAX);
        let is_other = |packed: u64| packed & 0x00ff_ffff != mark && packed > 0 && (packed >> 24) + recent > now;
        is_list && self.recent.iter().any(|slot| is_other(slot.load(Relaxed)))
    }

    fn turn(&self, client: u64) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() > IDLE_TURNS {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry(client).or_insert_with(|| Arc::new(tokio::sync::Mutex::new(self.epoch))))
    }
}

/// Lets a list wait for its client's turn, which lasts until the response is serialised. Refuses it if that takes too
/// long. The server adds the [`ListTurns`] of its listener to each request.
pub(crate) async fn pace(State(lists): State<Arc<Lists>>, request: Request, next: Next) -> Response {
    let ListTurns(turns) = request.extensions().get().unwrap_or(&lists.turns).clone();
    let (client, is_list) = (turns.client(&request), lists.contains(&request));
    if !turns.others_than(client, is_list) {
        return next.run(request).await;
    }
    let turn = turns.turn(client);
    let waited = timeout(WAIT, async {
        let next_begin = turn.lock().await;
        sleep_until(*next_begin).await;
        next_begin
    });
    let Ok(mut next_begin) = waited.await else {
        return Problem::overloaded("too many lists are being read; nothing was read").into_response();
    };
    let started = Instant::now();
    let response = next.run(request).await;
    *next_begin = Instant::now() + (started.elapsed() * PAUSE).min(LONGEST_PAUSE);
    response
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body};
    use tokio::sync::{Barrier, Notify};
    use utoipa_axum::{router::OpenApiRouter, routes};

    use super::*;
    use crate::{Edge, finish, testing};

    /// A list that takes some time.
    const TIME: Duration = Duration::from_millis(20);

    #[utoipa::path(
        get, path = "/list", params(("limit" = Option<u16>, Query)), security(()), responses((status = 200)),
    )]
    async fn list() {
        tokio::time::sleep(TIME).await;
    }

    #[utoipa::path(
        get, path = "/two", params(("limit" = Option<u16>, Query)), security(()), responses((status = 200)),
    )]
    async fn two(State(Held { together, .. }): State<Held>) {
        together.wait().await;
    }

    #[utoipa::path(
        get, path = "/held", params(("limit" = Option<u16>, Query)), security(()), responses((status = 200)),
    )]
    async fn held(State(Held { begun, go, .. }): State<Held>) {
        begun.notify_one();
        go.notified().await;
    }

    #[derive(Clone)]
    struct Held {
        together: Arc<Barrier>,
        begun: Arc<Notify>,
        go: Arc<Notify>,
    }

    /// Another service of the same process is used by others.
    #[tokio::test]
    async fn services_with_the_same_turns_count_each_others_clients() {
        let ((first, _), (second, lists)) = (router(), router());
        let turns = ListTurns::default();
        let from = async |router: &Router, client, path| {
            let mut request = request(client, path);
            request.extensions_mut().insert(turns.clone());
            testing::send(router, request).await.0
        };
        from(&first, 2, "/nowhere").await;
        let others = async {
            lists.begun.notified().await;
            let answers = [from(&first, 1, "/list").await, from(&first, 2, "/list").await];
            lists.go.notify_one();
            answers
        };
        assert_eq!(tokio::join!(from(&second, 1, "/held"), others), (200, [503, 200]));
    }

    fn router() -> (Router, Held) {
        let held_lists = Held { together: Arc::new(Barrier::new(2)), begun: Arc::default(), go: Arc::default() };
        let routes = OpenApiRouter::new().routes(routes!(list)).routes(routes!(two)).routes(routes!(held));
        (finish("Test", "", routes.with_state(held_lists.clone()), Edge::default()), held_lists)
    }

    /// Sends a request from the address 127.0.0.`client`, and returns the status.
    async fn get(router: &Router, client: u8, path: &str) -> u16 {
        testing::send(router, request(client, path)).await.0
    }

    fn request(client: u8, path: &str) -> Request {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, client], 1))));
        request
    }

    #[tokio::test]
    async fn a_client_that_is_alone_reads_several_lists_at_a_time() {
        let (router, _) = router();
        assert_eq!(tokio::join!(get(&router, 1, "/two"), get(&router, 1, "/two/")), (200, 200));
    }

    #[tokio::test]
    async fn while_there_are_others_a_client_reads_one_list_at_a_time() {
        let (router, lists) = router();
        get(&router, 2, "/nowhere").await;
        let others = async {
            lists.begun.notified().await;
            let answers =
                [get(&router, 1, "/list").await, get(&router, 2, "/list").await, get(&router, 1, "/no").await];
            lists.go.notify_one();
            answers
        };
        assert_eq!(tokio::join!(get(&router, 1, "/held"), others), (200, [503, 200, 404]));
        assert_eq!(get(&router, 1, "/list").await, 200);
    }

    #[tokio::test]
    async fn while_there_are_others_a_client_pauses_between_lists() {
        let (router, _) = router();
        get(&router, 2, "/nowhere").await;
        let start = Instant::now();
        assert_eq!((get(&router, 1, "/list").await, get(&router, 1, "/list").await), (200, 200));
        assert!(start.elapsed() >= TIME * (1 + PAUSE + 1), "{:?}", start.elapsed());
    }
}
