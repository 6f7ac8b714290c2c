//! Maintenance and membership.

use etcd_client::{AlarmAction, AlarmType, Client, Error};

use crate::Door;
use crate::said::{done, say, tell};

pub async fn walk(door: &Door, client: &mut Client) -> Result<(), Error> {
    let mut leading = door.open_leader().await?;
    let status = client.status().await?;
    let revision = status.header().map_or(0, |header| header.revision());
    say(
        "status",
        format!(
            "at {revision}, version told {}, leader told {}, learner {}, errors {:?}, bytes told {}, log told {}",
            !status.version().is_empty(),
            status.leader() != 0,
            status.is_learner(),
            status.errors(),
            status.db_size() > 0 && status.raft_used_db_size() > 0,
            status.raft_index() > 0 && status.raft_term() > 0 && status.raft_applied_index() > 0
        ),
    );
    tell(
        "alarms",
        client.alarm(AlarmAction::Get, AlarmType::None, None).await,
        |answer| format!("{} alarms", answer.alarms().len()),
    );
    tell("hash", client.hash().await, |answer| {
        format!("told {}", answer.hash() != 0)
    });
    for (step, at) in [
        ("hash of keys", 0),
        ("hash of keys, past", revision - 1),
        ("hash of keys, compacted", 1),
        ("hash of keys, future", 5000),
    ] {
        tell(step, client.hash_kv(at).await, |answer| {
            format!(
                "told {} at {}, compacted until {}",
                answer.hash() != 0,
                answer.hash_revision(),
                answer.compact_version()
            )
        });
    }
    let mut snapshot = client.snapshot().await?;
    let (mut bytes, mut remaining) = (0, 1);
    while let Some(part) = snapshot.message().await? {
        bytes += part.blob().len();
        remaining = part.remaining_bytes();
    }
    say("snapshot", format!("bytes told {}, remaining {remaining}", bytes > 0));
    done("defragment", client.defragment().await);

    let leader = status.leader();
    done("move the leader, to itself", leading.move_leader(leader).await);
    done("move the leader, to nobody", leading.move_leader(4711).await);
    let members = client.member_list().await?;
    let whole = members.members().iter().all(|member| {
        !member.name().is_empty()
            && !member.peer_urls().is_empty()
            && !member.client_urls().is_empty()
            && !member.is_learner()
    });
    say("members", format!("each a voter with a name and URLs {whole}"));
    say("members, count", members.members().len());
    Ok(())
}
