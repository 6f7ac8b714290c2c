//! Elections: etcd's `v3electionpb`, made of keys, leases and turns.

use bytes::Bytes;
use futures::Stream;
use kvorum_api::error::{Failure, Refusal};
use kvorum_api::etcdserverpb as pb;
use kvorum_api::mvccpb::KeyValue;
use kvorum_api::mvccpb::event::EventType;
use kvorum_api::range::prefix_end;
use kvorum_api::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse,
    ResignRequest, ResignResponse,
};

use super::turns::{Asked, delete_if_created_at, first_of, next, put_if_created_at};
use super::{Caller, Service};
use crate::watch::Session;

impl Service {
    /// Waits until the caller leads, with a value that others see. A caller that gives up is not in line any more.
    ///
    /// # Errors
    /// The lease does not exist or ended meanwhile, or the member stops.
    pub async fn campaign(&self, caller: &Caller, request: CampaignRequest) -> Result<CampaignResponse, Refusal> {
        let CampaignRequest { name, lease, value } = request;
        let prefix = prefix(&name);
        let place = self.queue_up(caller, &prefix, lease, value.clone()).await?;
        let leader = LeaderKey {
            name,
            key: place.key.clone(),
            rev: place.revision,
            lease: place.lease,
        };
        if place.value != value {
            // It was in line before, with another value.
            self.proclaim_as(caller, &leader, value).await?;
        }
        self.wait_for_turn(&prefix, &place).await?;
        // As in etcd, the header is of the moment at which the caller stood in line.
        let header = place.header;
        place.keep();
        Ok(CampaignResponse {
            header,
            leader: Some(leader),
        })
    }

    /// Changes the value of a leader.
    ///
    /// # Errors
    /// No leader is named, or it does not lead any more.
    pub async fn proclaim(&self, caller: &Caller, request: ProclaimRequest) -> Result<ProclaimResponse, Refusal> {
        let leader = request.leader.ok_or(Refusal::MissingLeaderKey)?;
        let header = self.proclaim_as(caller, &leader, request.value).await?;
        Ok(ProclaimResponse { header })
    }

    /// Who leads now.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn election_leader(&self, caller: &Caller, request: LeaderRequest) -> Result<LeaderResponse, Refusal> {
        let answer = self.range(caller, first_of(&prefix(&request.name))).await?;
        let leader = answer.kvs.into_iter().next();
        Ok(LeaderResponse {
            header: answer.header,
            kv: Some(leader.ok_or(Refusal::ElectionNoLeader)?),
        })
    }

    /// Every leader from now on, and every value that it proclaims.
    pub fn observe(
        &self,
        caller: Caller,
        request: LeaderRequest,
    ) -> impl Stream<Item = Result<LeaderResponse, Failure>> + Send + use<> {
        let observer = Observer {
            service: self.clone(),
            caller,
            prefix: prefix(&request.name),
            follows: None,
            is_over: false,
        };
        futures::stream::unfold(observer, async |mut observer| {
            if observer.is_over {
                return None;
            }
            let leader = observer.next().await;
            observer.is_over = leader.is_err();
            Some((leader.map_err(Failure::from), observer))
        })
    }

    /// Gives leadership up.
    ///
    /// # Errors
    /// No leader is named, or the outcome is unknown.
    pub async fn resign(&self, caller: &Caller, request: ResignRequest) -> Result<ResignResponse, Refusal> {
        let leader = request.leader.ok_or(Refusal::MissingLeaderKey)?;
        let answer = self.txn(caller, delete_if_created_at(&leader.key, leader.rev)).await?;
        Ok(ResignResponse { header: answer.header })
    }

    async fn proclaim_as(
        &self,
        caller: &Caller,
        leader: &LeaderKey,
        value: Bytes,
    ) -> Result<Option<pb::ResponseHeader>, Refusal> {
        let request = put_if_created_at(&leader.key, leader.rev, value, leader.lease);
        let answer = self.txn(caller, request).await?;
        if answer.succeeded {
            Ok(answer.header)
        } else {
            Err(Refusal::ElectionNotLeader)
        }
    }
}

struct Observer {
    service: Service,
    caller: Caller,
    prefix: Bytes,
    /// The watch of the leader's key.
    follows: Option<Session<Asked>>,
    is_over: bool,
}

impl Observer {
    /// The next leader, or the next value of the one that leads.
    async fn next(&mut self) -> Result<LeaderResponse, Refusal> {
        loop {
            let Some(session) = &mut self.follows else {
                return self.find().await;
            };
            let Some(response) = next(session).await? else {
                self.follows = None;
                continue;
            };
            let Some(newest) = response.events.into_iter().next_back() else {
                continue;
            };
            if newest.r#type() == EventType::Delete {
                self.follows = None;
                continue;
            }
            return Ok(LeaderResponse {
                header: response.header,
                kv: newest.kv,
            });
        }
    }

    /// Who leads now, or who will next.
    async fn find(&mut self) -> Result<LeaderResponse, Refusal> {
        loop {
            let answer = self.service.range(&self.caller, first_of(&self.prefix)).await?;
            let revision = answer.header.map_or(0, |header| header.revision);
            if let Some(leader) = answer.kvs.into_iter().next() {
                return self.follow(answer.header, leader, revision + 1).await;
            }
            let (prefix, end) = (self.prefix.clone(), prefix_end(&self.prefix));
            let mut session = self.service.watch_here(&self.caller, prefix, end, revision + 1).await?;
            // Whatever happens below the prefix, the keys there are looked at again.
            next(&mut session).await?;
        }
    }

    async fn follow(
        &mut self,
        header: Option<pb::ResponseHeader>,
        leader: KeyValue,
        from: i64,
    ) -> Result<LeaderResponse, Refusal> {
        let session = self
            .service
            .watch_here(&self.caller, leader.key.clone(), Bytes::new(), from);
        self.follows = Some(session.await?);
        Ok(LeaderResponse {
            header,
            kv: Some(leader),
        })
    }
}

fn prefix(name: &Bytes) -> Bytes {
    [&name[..], b"/"].concat().into()
}
