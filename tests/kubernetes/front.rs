//! A front before the API server that answers some requests itself, as a server of another make or under strain would.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::direct::Direct;

/// A refusal in the API server's words.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: &'static str,
    pub retry_after: Option<u64>,
}

type Rule = dyn Fn(&Method, &str) -> Option<Refusal> + Send + Sync;

/// A running front; ends when dropped.
pub struct Front {
    kubeconfig: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Front {
    /// Starts one before `cluster`. `rule` sees method and path with query, and refuses or lets pass.
    pub async fn start(
        cluster: &Cluster,
        rule: impl Fn(&Method, &str) -> Option<Refusal> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let kubeconfig = cluster.write_kubeconfig_for("front", &format!("http://{address}"), Cluster::ADMIN_TOKEN);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (rule, log): (Arc<Rule>, _) = (Arc::new(rule), Arc::clone(&asked));
        let server = Direct::connect(cluster).await;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (rule, log, server) = (Arc::clone(&rule), Arc::clone(&log), server.clone());
                tokio::spawn(async move {
                    let answer = service_fn(|request| answer(request, &*rule, &log, &server));
                    let _ =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { kubeconfig, asked, task }
    }

    /// The kubeconfig that leads here.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Method and path of every request so far that the rule let pass.
    pub fn passed(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    rule: &Rule,
    log: &Mutex<Vec<String>>,
    server: &Direct,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if let Some(refusal) = rule(request.method(), &path) {
        let body = json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure",
            "code": refusal.code, "reason": refusal.reason, "message": refusal.message,
        });
        let mut response = Response::builder().status(refusal.code).header("content-type", "application/json");
        if let Some(seconds) = refusal.retry_after {
            response = response.header("retry-after", seconds);
        }
        return Ok(response.body(full(body.to_string())).unwrap());
    }
    log.lock().unwrap().push(format!("{} {path}", request.method()));
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    Ok(match server.forward(Request::from_parts(head, Full::from(body))).await {
        Ok(response) => {
            let (mut head, body) = response.into_parts();
            head.version = hyper::Version::HTTP_11;
            Response::from_parts(head, body.boxed())
        }
        Err(error) => Response::builder().status(502).body(full(error.to_string())).unwrap(),
    })
}

fn full(text: String) -> BoxBody<Bytes, hyper::Error> {
    Full::from(text).map_err(|never| match never {}).boxed()
}
