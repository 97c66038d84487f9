//! Certificates for the tests of this module, and handshakes without sockets.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::DuplexStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::files::TlsFiles;
use super::identity::provider;
use super::server::TlsServer;

/// A self-signed certificate of a server, and its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

/// The name in every [`Pair`].
pub const NAME: &str = "certgate.example.test";

impl Pair {
    pub fn new(common_name: &str) -> Self {
        Self::of(common_name, &KeyPair::generate().unwrap())
    }

    pub fn of(common_name: &str, key: &KeyPair) -> Self {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let certificate = params.self_signed(key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }
}

/// Awaits what another thread does.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A client that believes in these certificates.
pub fn client(trusts: &[&CertificateDer<'static>], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for anchor in trusts {
        roots.add((*anchor).clone()).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// A client that believes in `trusts` and presents `presents`.
pub fn client_as(
    trusts: &CertificateDer<'static>,
    presents: Option<&Pair>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
    let builder = builder.with_root_certificates(roots);
    match presents {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![pair.der.clone()], key).unwrap()
        }
    }
}

type Ends = (io::Result<client::TlsStream<DuplexStream>>, io::Result<server::TlsStream<DuplexStream>>);

/// A handshake of `client` with what `server` uses now.
pub async fn shake(client: &ClientConfig, server: &TlsServer) -> Ends {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from(NAME).unwrap();
    tokio::join!(
        TlsConnector::from(Arc::new(client.clone())).connect(name, near),
        TlsAcceptor::from(server.config()).accept(far),
    )
}

/// A directory as the kubelet mounts a Secret: names that link into `..data`, which links to a directory of this version.
pub struct Mount {
    directory: tempfile::TempDir,
    version: u32,
}

impl Mount {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let mut mount = Self { directory: tempfile::TempDir::new().unwrap(), version: 0 };
        mount.swap(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), mount.directory.path().join(name)).unwrap();
        }
        mount
    }

    /// Replaces all files at once.
    pub fn swap(&mut self, files: &[(&str, &str)]) {
        let root = self.directory.path();
        let before = root.join(format!("..version_{}", self.version));
        self.version += 1;
        let name = format!("..version_{}", self.version);
        std::fs::create_dir(root.join(&name)).unwrap();
        for (file, text) in files {
            std::fs::write(root.join(&name).join(file), text).unwrap();
        }
        symlink(&name, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        _ = std::fs::remove_dir_all(before);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.path("tls.crt"), key: self.path("tls.key"), clients: None }
    }
}
