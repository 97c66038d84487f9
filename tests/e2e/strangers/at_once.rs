//! Several attacks at once. Nobody adds up what each may have: what counts together is held together.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{ALONE, Attacked, STREAMS, most_files};
use crate::run;
use certgate_harness::pki::Pki;
use certgate_harness::raw::{Answers, RawHttp2};

/// KiB of memory that several attacks may take together, above what an idle certgate has. 64 MiB are promised.
const TOGETHER: u64 = 60 << 10;

/// What strangers do to every connection that they can have, or to as many as it takes.
#[derive(Copy, Clone, Debug)]
enum Attack {
    /// So many calls on each of so many connections, with heads of four octets.
    ShortHeads(usize, usize),
    /// Calls with long heads.
    Heads,
    /// Half of a message on each call.
    Messages,
    /// A frame without its last octet.
    Frames,
    /// Tables of headers with whole buffers.
    Tables,
    /// A call that is answered, and nothing more.
    Idle,
    /// Answers that are not taken.
    Unread,
    /// Connections that come and go as fast as they can, with a few calls each.
    Churn,
    /// Half a handshake.
    Handshakes,
    /// The same as `Frames`, and half a record of TLS behind it.
    Records,
}

/// What strangers hold.
#[derive(Default)]
struct Stock {
    connections: Vec<RawHttp2>,
    silent: Vec<TcpStream>,
    /// Connections whose answers are read.
    read: JoinSet<()>,
}

impl Attack {
    /// Each connection may be closed at any time.
    async fn run(self, attacked: &Attacked, stock: &mut Stock) {
        let most = (most_files() / 2).min(512);
        let (connections, calls) = match self {
            Self::ShortHeads(connections, calls) => (connections, calls),
            Self::Heads => (60, STREAMS),
            Self::Messages => (64, 16),
            Self::Tables => (128, 100),
            Self::Unread => (5, STREAMS),
            Self::Churn => (4 * most, 33),
            Self::Frames | Self::Idle | Self::Handshakes | Self::Records => (most, 1),
        };
        for _ in 0..connections {
            if let Self::Handshakes = self {
                let mut silent = TcpStream::connect(attacked.address()).await.expect("connected");
                // As much as may come of a message of 60,000 octets: a record with its first piece, and some of the next.
                let begun =
                    [&[22, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60][..], &[0; 0x4000 - 4], &[22, 3, 1, 0x40, 0], &[0; 8000]];
                let _ = silent.write_all(&begun.concat()).await;
                stock.silent.push(silent);
                continue;
            }
            let answers = if let Self::Unread = self { Answers::Refused } else { Answers::Taken };
            let mut connection = attacked.connect(answers).await;
            let _ = match self {
                Self::ShortHeads(..) | Self::Churn => connection.begin_indexed(calls).await,
                Self::Heads => connection.begin(calls).await,
                Self::Messages => connection.begin_messages(calls).await,
                Self::Tables => connection.fill_table(u8::try_from(calls).expect("few")).await,
                Self::Unread => connection.begin_whole(calls).await,
                Self::Idle => connection.send(b"").await,
                Self::Frames | Self::Records | Self::Handshakes => connection.stall().await,
            };
            if let Self::Records = self {
                let _ = connection.stall_record().await;
            }
            match self {
                Self::ShortHeads(..) | Self::Heads | Self::Messages => {
                    stock.read.spawn(async move { connection.drain().await });
                }
                Self::Churn => drop(connection),
                _ => stock.connections.push(connection),
            }
        }
    }
}

/// Runs each of these in turn, and holds certgate to what all may take together.
fn together(attacks: &[Attack], room: u64, start: impl AsyncFn(&Pki) -> Attacked) {
    run(async {
        let mut attacked = start(&Pki::new()).await;
        let mut stock = Stock::default();
        for attack in attacks {
            attack.run(&attacked, &mut stock).await;
            attacked.answers_proxies().await;
        }
        attacked.peak_within(room, &format!("{attacks:?}"));
    });
}

#[test]
fn connections_that_come_and_go_fill_no_memory() {
    together(&[Attack::Churn], ALONE, Attacked::start);
}

#[test]
fn messages_that_do_not_end_fill_no_memory() {
    together(&[Attack::Messages], ALONE, Attacked::start);
}

#[test]
fn handshakes_that_do_not_end_fill_no_memory() {
    together(&[Attack::Handshakes], ALONE, Attacked::start_tls);
}

#[test]
fn several_attacks_at_once_fill_no_memory() {
    use Attack::{Churn, Frames, Heads, Idle, Messages, ShortHeads, Tables, Unread};
    let few = ShortHeads(480, 33);
    for attacks in [
        &[Idle, Tables][..],
        &[few, Frames],
        &[Frames, few],
        &[Frames, Messages],
        &[Messages, ShortHeads(60, STREAMS)],
        &[Tables, few, Messages],
        &[Unread, Heads, Idle],
        &[Frames, few, Churn, Messages, Tables, Heads, Unread],
    ] {
        together(attacks, TOGETHER, Attacked::start);
    }
}

#[test]
fn several_attacks_at_once_over_tls_fill_no_memory() {
    use Attack::{Frames, Handshakes, Idle, Messages, Records, ShortHeads, Tables};
    let few = ShortHeads(480, 33);
    for attacks in [
        &[few, Frames][..],
        &[Handshakes, Messages],
        &[Idle, Handshakes, Tables],
        &[Frames, Messages, few],
        &[Messages, few, Records],
        &[Records, Tables],
    ] {
        together(attacks, TOGETHER, Attacked::start_tls);
    }
}
