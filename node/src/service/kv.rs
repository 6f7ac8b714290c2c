//! Keys: range, put, delete, transactions, compaction.
//!
//! Headers are filled here: the store knows revisions, only the member knows who it is.

use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_store::{Command, ReadError, Response, Who, validate};

use super::counts::add;
use super::{Caller, REQUEST_TIME_MAX, Service};
use crate::fatal;
use crate::raft::Answer;

impl Service {
    /// Reads a range of keys.
    ///
    /// # Errors
    /// The request contradicts itself, its revision is compacted or in the future, or no leader can confirm the read.
    pub async fn range(&self, caller: &Caller, request: pb::RangeRequest) -> Result<pb::RangeResponse, Refusal> {
        validate::range(&request)?;
        self.demand_answer_room().await?;
        if !request.serializable {
            self.wait_linearizable().await?;
        }
        add(&self.inner.counts.ranges);
        let reader = self.inner.node.reader.clone();
        let who = self.who(caller).await?;
        let mut response = read(reader.range_for(&who, &request))?;
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Writes one key.
    ///
    /// # Errors
    /// The request is refused, or its outcome is unknown.
    pub async fn put(&self, caller: &Caller, request: pb::PutRequest) -> Result<pb::PutResponse, Refusal> {
        validate::put(&request)?;
        let who = self.who(caller).await?;
        match self.write(who, Command::Put(request)).await? {
            Response::Put(mut response) => {
                self.fill(&mut response.header);
                Ok(response)
            }
            other => unexpected("put", &other),
        }
    }

    /// Deletes a range of keys.
    ///
    /// # Errors
    /// As [`Service::put`].
    pub async fn delete_range(
        &self,
        caller: &Caller,
        request: pb::DeleteRangeRequest,
    ) -> Result<pb::DeleteRangeResponse, Refusal> {
        validate::delete_range(&request)?;
        let who = self.who(caller).await?;
        match self.write(who, Command::DeleteRange(request)).await? {
            Response::DeleteRange(mut response) => {
                self.fill(&mut response.header);
                Ok(response)
            }
            other => unexpected("delete range", &other),
        }
    }

    /// Compares, then does one of two lists of operations.
    ///
    /// # Errors
    /// As [`Service::put`].
    pub async fn txn(&self, caller: &Caller, request: pb::TxnRequest) -> Result<pb::TxnResponse, Refusal> {
        validate::txn(&request, &self.inner.limits)?;
        self.demand_answer_room().await?;
        let mut response = if validate::is_read_only(&request) {
            if !validate::is_serializable(&request) {
                self.wait_linearizable().await?;
            }
            let who = self.who(caller).await?;
            add(&self.inner.counts.transactions);
            read(self.inner.node.reader.txn_for(&who, &request))?
        } else {
            let who = self.who(caller).await?;
            match self.write(who, Command::Txn(request)).await? {
                Response::Txn(response) => response,
                other => return unexpected("txn", &other),
            }
        };
        self.fill(&mut response.header);
        Ok(response)
    }

    /// Forgets history up to a revision.
    ///
    /// # Errors
    /// As [`Service::put`].
    pub async fn compact(
        &self,
        caller: &Caller,
        request: pb::CompactionRequest,
    ) -> Result<pb::CompactionResponse, Refusal> {
        let who = self.who(caller).await?;
        match self.write(who, Command::Compact(request)).await? {
            Response::Compact(mut response) => {
                self.fill(&mut response.header);
                Ok(response)
            }
            other => unexpected("compaction", &other),
        }
    }

    /// Waits until there is room for an answer that may be large: clients that do not take theirs give way.
    async fn demand_answer_room(&self) -> Result<(), Refusal> {
        match self.inner.held.answers.room_within(REQUEST_TIME_MAX).await {
            true => Ok(()),
            false => Err(Refusal::TooManyRequests),
        }
    }

    /// Proposes a command given by somebody and takes its response out of the answer. What the cluster does of its own
    /// accord is given by [`Who::Member`], and by nobody else's wish.
    pub(crate) async fn write(&self, who: Who, command: Command) -> Result<Response, Refusal> {
        if who != Who::Member {
            self.demand_room(&command).await?;
        }
        match self.propose(&command.given_by(who)).await? {
            Answer::Command { response, revision: _ } => response,
            Answer::Nothing => fatal::die("a command was answered as if it were none"),
        }
    }

    /// A header with everything in it, of now.
    pub(super) fn header(&self) -> Option<pb::ResponseHeader> {
        self.header_at(self.inner.node.reader.revision())
    }

    /// A header with everything in it.
    pub(crate) fn header_at(&self, revision: i64) -> Option<pb::ResponseHeader> {
        let mut header = Some(pb::ResponseHeader {
            revision,
            ..Default::default()
        });
        self.fill(&mut header);
        header
    }

    /// Says in a header who answers.
    pub(crate) fn fill(&self, header: &mut Option<pb::ResponseHeader>) {
        let header = header.get_or_insert_default();
        let (cluster_id, member_id) = self.ids();
        header.cluster_id = cluster_id;
        header.member_id = member_id;
        header.raft_term = self.inner.node.leadership.borrow().term;
    }
}

pub(super) fn read<T>(result: Result<T, ReadError>) -> Result<T, Refusal> {
    match result {
        Ok(value) => Ok(value),
        Err(ReadError::Refused(refusal)) => Err(refusal),
        // A snapshot from the leader is taking the place of this state; a retry meets the new one.
        Err(ReadError::Replaced) => Err(Refusal::TimeoutWaitApplied),
        // What the index names and the engine lacks is corruption; a wrong answer would be worse than none.
        Err(ReadError::Engine(error)) => fatal::die(format_args!("a read failed: {error}")),
    }
}

/// Commands are answered by the response of their own kind; anything else is a defect that must not go on.
pub(super) fn unexpected<T>(command: &str, response: &Response) -> Result<T, Refusal> {
    fatal::die(format_args!("a {command} was answered with {response:?}"))
}
