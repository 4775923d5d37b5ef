use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use test_servers::{
    RabbitMq,
    rabbitmq::{Credentials, Options},
};

#[test]
fn a_node_with_all_options() {
    let folder = tempfile::tempdir().unwrap();
    let definitions = folder.path().join("definitions.json");
    let content = r#"{
        "vhosts": [{"name": "/"}],
        "users": [{"name": "shop", "password": "secret", "tags": "administrator"}],
        "permissions": [{"user": "shop", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
        "queues": [{"name": "orders", "vhost": "/", "durable": true, "auto_delete": false,
                    "arguments": {"x-queue-type": "quorum"}}]
    }"#;
    fs::write(&definitions, content).unwrap();
    let options = Options {
        management: true,
        prometheus: true,
        config: vec!["channel_max = 77".to_owned()],
        definitions: Some(definitions),
        credentials: Some(Credentials { user: "shop".to_owned(), password: "secret".to_owned() }),
        ..Options::default()
    };
    let rabbitmq = RabbitMq::start(options).unwrap();

    assert_eq!(rabbitmq.amqp_url(), format!("amqp://shop:secret@127.0.0.1:{}/%2f", rabbitmq.port()));
    assert!(rabbitmq.version().starts_with(|char: char| char.is_ascii_digit()), "{}", rabbitmq.version());
    assert_eq!(greeting(&rabbitmq), [1, 0, 0]);
    let queues = rabbitmq.rabbitmqctl(&["-q", "--no-table-headers", "list_queues", "name", "type"]).unwrap();
    assert_eq!(queues, "orders\tquorum\n");
    let channel_max = rabbitmq.rabbitmqctl(&["-q", "eval", "application:get_env(rabbit, channel_max)."]).unwrap();
    assert_eq!(channel_max, "{ok,77}\n");
    assert!(rabbitmq.rabbitmqctl(&["authenticate_user", "shop", "secret"]).is_ok());
    assert!(rabbitmq.rabbitmqctl(&["authenticate_user", "shop", "wrong"]).is_err());

    let management = rabbitmq.management_url().unwrap();
    assert!(management.starts_with("http://shop:secret@127.0.0.1:"), "{management}");
    assert!(get(&format!("{management}/")).contains("RabbitMQ Management"));
    assert!(get(&rabbitmq.metrics_url().unwrap()).contains("\nrabbitmq_identity_info{"));
}

#[test]
fn two_nodes_are_independent_and_a_crash_or_a_stop_keeps_the_data() {
    let start = || RabbitMq::start(Options::default()).unwrap();
    let (mut one, two) = thread::scope(|scope| {
        let one = scope.spawn(start);
        (start(), one.join().unwrap())
    });
    assert_eq!((one.management_url(), one.metrics_url()), (None, None));
    one.rabbitmqctl(&["add_vhost", "mine"]).unwrap();
    // Messages in a queue are on disk when they are confirmed; the vhost is only a moment later.
    one.rabbitmqctl(&["eval", "mnesia:sync_log()."]).unwrap();
    let vhosts = |node: &RabbitMq| node.rabbitmqctl(&["-q", "--no-table-headers", "list_vhosts"]).unwrap();
    assert_eq!(vhosts(&two), "/\n");

    one.kill().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", one.port())).is_err());
    assert_eq!(greeting(&two), [1, 0, 0]);
    one.restart().unwrap();
    assert!(vhosts(&one).contains("mine"));

    one.stop().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", one.port())).is_err());
    one.restart().unwrap();
    assert!(vhosts(&one).contains("mine"));
}

#[test]
fn a_failed_start_is_explained() {
    let options = Options { config: vec!["no_such.setting = 1".to_owned()], ..Options::default() };
    let error = RabbitMq::start(options).unwrap_err().to_string();
    assert!(error.starts_with("RabbitMQ did not start (exit status: "), "{error}");
    assert!(error.contains("no_such.setting"), "{error}");
}

/// Returns the first bytes of the response to AMQP 0-9-1's protocol header: a method, on channel 0.
fn greeting(rabbitmq: &RabbitMq) -> [u8; 3] {
    let mut stream = TcpStream::connect(("127.0.0.1", rabbitmq.port())).unwrap();
    stream.write_all(b"AMQP\0\0\x09\x01").unwrap();
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn get(url: &str) -> String {
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}
