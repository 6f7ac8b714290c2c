//! One script of requests, given to Kvorum and, where there is one, to a real etcd: the answers must be what the script
//! says, and each other's equal.
//!
//! A step names its caller; the token that the caller was given by `auth/authenticate` goes along. Left out of the
//! comparison are ids and terms in headers, revisions where the script says so, tokens, and the `error` field, an extra
//! for clients older than 3.6.

use std::collections::BTreeMap;

use kvorum_api::error::Refusal;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::etcd::Etcd;
use crate::reference::Reference;
use crate::wait::{SETTLE, until};
use crate::web::Reply;

/// One request and what it must be answered.
pub struct Step {
    /// Who asks: a user that has authenticated before; empty for nobody.
    pub who: &'static str,
    /// The path under `/v3/`.
    pub path: &'static str,
    /// The body.
    pub body: Value,
    /// `Ok` for a success, or the status and the exact message.
    pub answer: Result<(), (u16, String)>,
}

/// A step that must succeed.
#[must_use]
pub fn good(who: &'static str, path: &'static str, body: Value) -> Step {
    Step {
        who,
        path,
        body,
        answer: Ok(()),
    }
}

/// A step that must be refused.
#[must_use]
pub fn bad(who: &'static str, path: &'static str, body: Value, status: u16, message: &str) -> Step {
    Step {
        who,
        path,
        body,
        answer: Err((status, message.to_owned())),
    }
}

/// One of the two sides: the members that are asked in turn, and the tokens they gave.
pub struct Side {
    members: Vec<Etcd>,
    asked: usize,
    tokens: BTreeMap<String, String>,
}

impl Side {
    /// Asks these members in turn.
    #[must_use]
    pub fn new(members: Vec<Etcd>) -> Side {
        Side {
            members,
            asked: 0,
            tokens: BTreeMap::new(),
        }
    }

    /// The token of a user that has authenticated; empty for others.
    #[must_use]
    pub fn token(&self, who: &str) -> &str {
        self.tokens.get(who).map_or("", String::as_str)
    }

    /// Sends one request to the next member, and keeps the token that it may give.
    ///
    /// # Panics
    /// When there is no answer at all.
    pub async fn send(&mut self, who: &str, path: &str, body: &Value) -> Reply {
        self.asked += 1;
        let member = &self.members[self.asked % self.members.len()];
        let token = self.token(who).to_owned();
        let reply = member.call_as(&token, path, body).await.expect("an answer");
        if let (Some(token), Some(name)) = (reply.json()["token"].as_str(), body["name"].as_str()) {
            self.tokens.insert(name.to_owned(), token.to_owned());
        }
        reply
    }
}

/// Kvorum's members, asked in turn, and beside them a real etcd, where there is one.
pub struct Both {
    /// Kvorum's.
    pub ours: Side,
    /// etcd's.
    pub theirs: Option<Side>,
}

impl Both {
    /// Nobody has authenticated on either side yet.
    #[must_use]
    pub fn new(cluster: &Cluster, reference: Option<&Reference>) -> Both {
        Both {
            ours: Side::new(cluster.everywhere()),
            theirs: reference.map(|reference| Side::new(vec![reference.etcd.clone()])),
        }
    }

    /// Gives the script to both sides.
    ///
    /// # Panics
    /// When an answer is not what the script says, or the sides differ; all that was wrong is told.
    pub async fn run(&mut self, script: &[Step]) {
        let wrong = run(script, &mut self.ours, self.theirs.as_mut()).await;
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// Gives the script to both sides; what was wrong, one entry each.
pub async fn run(script: &[Step], ours: &mut Side, mut theirs: Option<&mut Side>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, step) in script.iter().enumerate() {
        let Step {
            who,
            path,
            body,
            answer,
        } = step;
        // A member that has not heard of a change of users yet refuses so, as etcd's do, and clients ask again.
        let old_revision = Refusal::AuthOldRevision.message();
        let expected = matches!(answer, Err((_, message)) if message == old_revision);
        let reply = until("a member that knows its users", SETTLE, async || {
            let reply = ours.send(who, path, body).await;
            match reply.json()["message"] == old_revision && !expected {
                true => Err(reply.text()),
                false => Ok(reply),
            }
        })
        .await;
        let right = match answer {
            Ok(()) => reply.status == 200,
            Err((status, message)) => reply.status == *status && reply.json()["message"] == *message,
        };
        if !right {
            let got = reply.text();
            wrong.push(format!(
                "step {number}: {who} {path} {body}\n  expected {answer:?}\n  got {} {got}",
                reply.status
            ));
        }
        if let Some(theirs) = theirs.as_deref_mut() {
            let reference = normal(&theirs.send(who, path, body).await);
            let own = normal(&reply);
            if own != reference {
                wrong.push(format!(
                    "step {number}: {who} {path} {body}\n  etcd   {reference}\n  kvorum {own}"
                ));
            }
        }
    }
    wrong
}

/// An answer without what may rightly differ.
fn normal(reply: &Reply) -> Value {
    let mut body = reply.json();
    if let Value::Object(map) = &mut body {
        if let Some(Value::Object(header)) = map.get_mut("header") {
            header.retain(|field, _| field == "revision");
        }
        map.remove("error");
        if map.contains_key("token") {
            map.insert("token".into(), "…".into());
        }
    }
    json!({"status": reply.status, "body": body})
}
