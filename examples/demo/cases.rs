//! The cases of the demo.

use std::fs;
use std::time::{Duration, Instant};

use crate::stage::Stage;
use crate::table::{Seen, Table};
use certgate_harness::client::{Call, Reply};
use certgate_harness::pki::Identity;

const PAYMENTS: &str = "/v1/payments/42";
const USER: &str = "x-certgate-user";

/// An edit is live within this time.
const LIVE: Duration = Duration::from_secs(1);

/// Plays all cases and returns how many went wrong.
pub async fn play(stage: &Stage) -> usize {
    let mut table = Table::begin();
    let clients = &stage.clients;
    let get = Call::get;
    let spoofed = |path| Call::get(path).header(USER, "admin");
    let as_user = Seen::allowed_as;
    let refused = Seen::refused;

    #[rustfmt::skip]
    let cases: Vec<(&str, Option<&Identity>, Call, Seen)> = vec![
        ("one certificate, one account", Some(&clients.acme), get(PAYMENTS), as_user("svc-acme")),
        ("a rule: O=Contoso and DNS *.contoso.test", Some(&clients.contoso), get(PAYMENTS), as_user("contoso")),
        ("a CertificateMapping: URI spiffe://fabrikam.test/billing", Some(&clients.fabrikam), get(PAYMENTS), as_user("svc-fabrikam")),
        ("client claims x-certgate-user: admin", Some(&clients.acme), spoofed(PAYMENTS), as_user("svc-acme")),
        ("the same without a certificate, where none is needed", None, spoofed("/v1/status"), Seen::anonymous()),
        ("rule order: OU=Sales is denied above O=Contoso", Some(&clients.contoso_sales), get(PAYMENTS), refused(403, "MAPPING_DENIED")),
        ("a disabled CertificateMapping beats the rules", Some(&clients.contoso_old), get(PAYMENTS), refused(403, "ACCOUNT_DISABLED")),
        ("look-alike: CN and O are \"Contoso Evil\"", Some(&clients.contoso_evil), get(PAYMENTS), refused(403, "NO_MAPPING")),
        ("the account's renewed certificate, not yet listed", Some(&clients.acme_renewed), get(PAYMENTS), refused(403, "NO_MAPPING")),
        ("unknown CA", Some(&clients.stranger), get(PAYMENTS), refused(403, "CERT_UNTRUSTED")),
        ("unknown CA under the name of ours", Some(&clients.impostor), get(PAYMENTS), refused(403, "SIGNATURE_INVALID")),
        ("our root, but a CA that is no issuing authority", Some(&clients.lab), get(PAYMENTS), refused(403, "ISSUER_NOT_AUTHORIZED")),
        ("expired", Some(&clients.expired), get(PAYMENTS), refused(403, "CERT_EXPIRED")),
        ("for servers only: no clientAuth", Some(&clients.server_only), get(PAYMENTS), refused(403, "EKU_NOT_PERMITTED")),
        ("no certificate", None, get(PAYMENTS), refused(401, "CERT_REQUIRED")),
        ("the restricted path, with the right certificate", Some(&clients.acme), get("/v1/reports"), as_user("svc-acme")),
        ("the restricted path, with another valid certificate", Some(&clients.contoso), get("/v1/reports"), refused(403, "NO_MAPPING")),
        ("a path of which no policy speaks", Some(&clients.acme), get("/v1/admin"), refused(403, "NO_POLICY")),
        ("a path that can be read in two ways", Some(&clients.acme), get("/v1/payments/..%2freports"), refused(400, "PATH_AMBIGUOUS")),
    ];
    for (case, identity, call, expected) in cases {
        let reply = stage.client(identity).send(call).await;
        table.row(case, &expected, &seen(stage, &reply).await);
    }
    edit(stage, &mut table).await;
    table.end()
}

/// Changes a rule from Allow to Deny and back, while a client goes on asking.
async fn edit(stage: &Stage, table: &mut Table) {
    let file = stage.policy_file("payments.yaml");
    let before = fs::read_to_string(&file).expect("the policy is there");
    let after = before.replace("OU, value: Sales", "O, value: Contoso");
    assert_ne!(before, after, "deploy/demo/policies/payments.yaml denies OU=Sales");
    let edits = [
        ("live edit: the first rule now denies O=Contoso", after, Seen::refused(403, "MAPPING_DENIED")),
        ("live edit: taken back", before, Seen::allowed_as("contoso")),
    ];
    let mut connection = stage.client(&stage.clients.contoso).connect().await;
    for (case, text, expected) in edits {
        fs::write(&file, text).expect("the directory is writable");
        let start = Instant::now();
        // The client asks without a pause, so the moment of the change is known to a request's length.
        let (last, took) = loop {
            let reply = connection.send(Call::get(PAYMENTS)).await;
            let took = start.elapsed();
            if reply.served() == expected.is_allowed() || took > 5 * LIVE {
                break (reply, took);
            }
        };
        let seen = seen(stage, &last).await;
        let told = format!("{seen} ({} ms)", took.as_millis());
        table.verdict(case, &expected.to_string(), &told, seen == expected && took < LIVE);
    }
}

/// What happened: the status, who the upstream was told of, and the reason that Envoy's access log has.
async fn seen(stage: &Stage, reply: &Reply) -> Seen {
    if reply.served() {
        return match reply.echo().header(USER) {
            Some(user) => Seen::allowed_as(user),
            None => Seen::anonymous(),
        };
    }
    let access = stage.access(reply).await;
    Seen::refused(reply.status.as_u16(), access.told("/reason").unwrap_or("without a reason"))
}
