//! A CRL file of a million entries under `certgate serve`: what it keeps in memory, and how soon another list in its
//! place decides. Figures need an optimized build: `make figures-crl`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says what it measured")]

use certgate_harness::ports;
use certgate_testing::bars;
use certgate_testing::der;
use certgate_testing::status;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bars::Bars;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certgate::envoy::proto::auth::authorization_client::AuthorizationClient;
use certgate::envoy::proto::auth::{self, check_response::HttpResponse};
use certgate_x509::Sha256;
use tonic::transport::Channel;

use der::{Draft, NOW, SigningKey};
use ports::PortLease;
use status::*;

const ENTRIES: usize = 1_000_000;
/// The bars. Live counts in processor time of the thread that reads lists and has them decide: it has the lowest priority,
/// so that the clock on the wall measures the neighbours. What is freed late stays resident for some seconds, so that
/// three times the 32 MiB of the bar may be. At the peak there are the text, the list before and the new one.
const LIVE: Duration = Duration::from_secs(1);
/// What no machine does it in: less is another thread's time.
const LEAST: Duration = Duration::from_millis(20);
const KEPT: u64 = 96 << 10;
const PEAK: u64 = 192 << 10;

const PATIENCE: Duration = Duration::from_secs(30);
const LEAF_SERIAL: [u8; 3] = [0x11, 0x22, 0x33];

/// A server that ends with the test.
struct Server {
    child: Child,
    listen: PortLease,
    _admin: PortLease,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(policies: &Path) -> Self {
        let (listen, admin) = (PortLease::take(), PortLease::take());
        let child = Command::new(env!("CARGO_BIN_EXE_certgate"))
            .arg("serve")
            .arg("--policies")
            .arg(policies)
            .arg("--listen")
            .arg(listen.address().to_string())
            .arg("--admin-listen")
            .arg(admin.address().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, listen, _admin: admin }
    }

    /// Kilobytes of its memory: now, and at most so far.
    fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// The processor time that its reader of policies and lists has used. Unlike the clock on the wall it means the same
    /// on a busy machine.
    fn processor(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let reader = tasks
            .map(|task| task.unwrap().path())
            .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "policies"))
            .expect("a thread that reads policies");
        let stat = fs::read_to_string(reader.join("schedstat")).unwrap();
        Duration::from_nanos(stat.split_ascii_whitespace().next().unwrap().parse().unwrap())
    }

    /// The least memory seen within some seconds: an allocator gives back what was freed a little later.
    async fn settled(&self) -> u64 {
        let mut least = u64::MAX;
        for _ in 0..60 {
            least = least.min(self.memory().0);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        least
    }

    async fn connect(&self) -> AuthorizationClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.listen.address())).unwrap();
        let start = Instant::now();
        loop {
            match endpoint.connect().await {
                Ok(channel) => return AuthorizationClient::new(channel),
                Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Asks until the answer is as wanted, and gives how long that took and how long the slowest answer.
async fn until(client: &mut AuthorizationClient<Channel>, leaf: &str, allowed: bool) -> (Duration, Duration) {
    let http = auth::attribute_context::HttpRequest {
        method: "GET".to_owned(),
        host: "api.example.com".to_owned(),
        path: "/".to_owned(),
        ..Default::default()
    };
    let source = auth::attribute_context::Peer { certificate: leaf.to_owned(), ..Default::default() };
    let request = auth::CheckRequest {
        attributes: Some(auth::AttributeContext {
            source: Some(source),
            request: Some(auth::attribute_context::Request { http: Some(http) }),
            ..Default::default()
        }),
    };
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    loop {
        let asked = Instant::now();
        let response = client.check(request.clone()).await.unwrap().into_inner();
        slowest = slowest.max(asked.elapsed());
        if matches!(response.http_response, Some(HttpResponse::OkResponse(_))) == allowed {
            return (start.elapsed(), slowest);
        }
        assert!(start.elapsed() < PATIENCE, "{response:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Seconds from the drafts' time to now.
fn offset() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() - NOW.as_secs()
}

/// A CRL of the CA with so many entries from the `from`-th on, and one for the leaf when it is revoked.
fn crl(key: &SigningKey, n: u8, from: usize, entries: usize, revoked: bool) -> Vec<u8> {
    let mut draft = CrlDraft::new("CN=CA").with(number(n)).dated(offset() - HOUR, Some(offset() + DAY));
    let serial = |n: usize| {
        let mut serial = [0; 20];
        serial.copy_from_slice(&Sha256::of(&n.to_be_bytes()).as_bytes()[..20]);
        serial[0] = serial[0] & 0x7f | 0x40;
        serial
    };
    draft.entries = (from..from + entries).map(|n| entry(&serial(n), &[reason_code(reason::SUPERSEDED)])).collect();
    if revoked {
        draft.entries.push(entry(&LEAF_SERIAL, &[]));
    }
    draft.der(key)
}

fn write(dir: &Path, name: &str, content: &[u8]) {
    let aside = dir.join(format!(".{name}"));
    fs::write(&aside, content).unwrap();
    fs::rename(aside, dir.join(name)).unwrap();
}

#[tokio::test]
#[ignore = "a measurement, meant for an optimized build"]
async fn a_million_entries_in_a_file() {
    let key = SigningKey::p256();
    let valid = (NOW.plus(offset() - DAY), NOW.plus(offset() + DAY));
    let mut ca = Draft::ca("CN=CA", "CN=CA", &key);
    ca.valid(valid.0, valid.1);
    let mut leaf = Draft::client("CN=client", "CN=CA", &SigningKey::p256());
    leaf.valid(valid.0, valid.1);
    leaf.serial = LEAF_SERIAL.to_vec();
    let leaf = pem("CERTIFICATE", &leaf.der(&key));
    let leaf: String = leaf.bytes().map(|octet| format!("%{octet:02X}")).collect();

    let dir = tempfile::tempdir().unwrap();
    let policies = "apiVersion: certgate.dev/v1alpha1\nkind: TrustProfile\nmetadata: {name: partners}\nspec:\n  \
                    trustAnchors: [{file: ca.pem}]\n  revocation: {mode: Offline, crls: [{file: ca.crl}]}\n---\n\
                    apiVersion: certgate.dev/v1alpha1\nkind: CertificatePolicy\nmetadata: {name: api}\n\
                    spec: {match: [{hosts: [api.example.com]}], trustRef: {name: partners}}\n";
    write(dir.path(), "policies.yaml", policies.as_bytes());
    write(dir.path(), "ca.pem", pem("CERTIFICATE", &ca.der(&key)).as_bytes());

    write(dir.path(), "ca.crl", &crl(&key, 1, 0, 0, false));
    let small = Server::start(dir.path());
    until(&mut small.connect().await, &leaf, true).await;
    let (without, _) = small.memory();
    drop(small);

    write(dir.path(), "ca.crl", &crl(&key, 2, 0, ENTRIES, false));
    let start = Instant::now();
    let server = Server::start(dir.path());
    let mut client = server.connect().await;
    until(&mut client, &leaf, true).await;
    println!("ready after {:?}", start.elapsed());
    let (now, peak) = server.memory();
    let with = server.settled().await;
    println!(
        "RSS: {without} kB with an empty CRL; {now} kB with a million entries, {with} kB soon after, peak {peak} kB"
    );

    let mut times = Vec::new();
    for n in 3..9 {
        let next = crl(&key, n, ENTRIES * usize::from(n), ENTRIES, n % 2 == 1);
        let next = if n % 2 == 0 { next } else { pem("X509 CRL", &next).into_bytes() };
        fs::write(dir.path().join(".next"), next).unwrap();
        let before = server.processor();
        fs::rename(dir.path().join(".next"), dir.path().join("ca.crl")).unwrap();
        let (took, slowest) = until(&mut client, &leaf, n % 2 == 0).await;
        let form = if n % 2 == 0 { "DER" } else { "PEM" };
        let used = server.processor() - before;
        println!("replaced ({form}): decides after {took:?} ({used:?} of a processor); slowest answer {slowest:?}");
        times.push(used);
    }
    let (_, peak) = server.memory();
    let after = server.settled().await;
    println!("RSS after six lists: {after} kB, peak {peak} kB");
    assert!(times.iter().all(|used| *used > LEAST), "another thread's time: {times:?}");
    let mut bars = Bars::new();
    bars.time("a list in place of another decides, of a processor, slowest of six", *times.iter().max().unwrap(), LIVE);
    bars.count("memory for a million entries (kB)", after.min(with).saturating_sub(without), KEPT);
    bars.count("the same at the peak (kB)", peak - without, PEAK);
    bars.end();
}
