//! Media that an agent has made in the background: an image, a video, music.
//!
//! ```text
//!   Running ──────────▶ Yielded ───────────────▶ Waiting ───▶ as after a loss ───▶ Yielded
//!    final response      ▲   │  a run that shows    (agent.wait)                    │
//!                        └───┘  the media                                 no task is left: Ended
//!                      tasks.list
//! ```
//!
//! The tool only starts a task. The agent's answer ends before it, and the media comes in a further
//! run of the session, `image_generate:<task>:ok:agent-loop`, whose final response has its path.
//! A failed task has such a run, too. The gateway's list of tasks shows whether one is to come.
//!
//! Source: OpenClaw 2026.9.6, measured.

use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::gateway::frame::{AgentEvent, MAKER, TaskList, TasksParams, is_media_run};
use crate::gateway::link::Rejection;
use crate::parse;
use crate::turn::{Finish, Progress, RunEvent, RunSummary, ToolEnd, Usage, Wait};

use super::io::Io;
use super::state::{Knowledge, Media, Run, Search, State};

/// The end of the kind of a task that makes media.
const TASK: &str = "_generation";

/// Longest time from an answer until its media, in milliseconds. A video takes minutes.
const MEDIA_MS: u64 = 600_000;

/// Pause between two requests for the tasks, in milliseconds. Events show the run at once.
const PAUSE_MS: u64 = 5_000;

impl Run {
    /// Notes that a task may have begun, if its file can be shown: an answer of another format, as
    /// JSON is, takes no further text.
    pub(super) fn note_media(&mut self, progress: &Progress<'_>) {
        if let Progress::ToolEnded { name, end } = progress
            && name.ends_with(MAKER)
            && *end == ToolEnd::Completed
            && self.turn.wants_files
            && self.media.is_none()
        {
            self.media = Some(Media::default());
        }
    }

    /// Returns true if media may follow the answer.
    pub(super) fn expects_media(&self) -> bool {
        self.media.is_some() && !self.is_unread
    }

    /// Returns true if the answer ended, and media may follow.
    pub(crate) fn awaits_media(&self) -> bool {
        let media = self.media.as_ref();
        media.is_some_and(|media| media.finish.is_some())
    }

    /// Notes a run that shows media and begins while another run is read.
    pub(super) fn note_media_run(&mut self, event: &AgentEvent<'_>) {
        if self.yielded.is_none()
            && !self.name.is(&event.run_id)
            && self.is_media_run(event)
            && let Some(media) = &mut self.media
            && !media.seen.iter().any(|seen| *seen == event.run_id)
        {
            media.seen.push(event.run_id.clone().into_owned());
        }
    }

    /// Returns true if a run with this id may show media.
    pub(super) fn is_media_id(&self, id: &str) -> bool {
        self.media.is_some() && is_media_run(id)
    }

    /// Returns true if the event begins a run that shows media of the session.
    pub(super) fn is_media_run(&self, event: &AgentEvent<'_>) -> bool {
        let session = self.target.as_ref().map(|target| target.session.as_str());
        self.is_media_id(&event.run_id)
            && event.session_key.is_some()
            && event.session_key.as_deref() == session
    }

    /// Takes the end of the answer, or of a run that shows media, and waits for the media that is
    /// to come. An end that failed changes nothing of the answer before it.
    pub(super) fn await_media(
        &mut self,
        finish: Option<Finish>,
        earlier: Usage,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) -> Result<(), Failure> {
        let Some(media) = &mut self.media else {
            return Err(Failure::Bug("media was awaited that nothing makes"));
        };
        let finish = media.finish.or(finish);
        if media.finish.is_none() {
            media.until_ms = io.now_ms.saturating_add(MEDIA_MS);
            media.finish = finish;
            show(RunEvent::Progress(Progress::Waiting(Wait::Media)));
        }
        let seen = (!media.seen.is_empty()).then(|| media.seen.remove(0));
        self.begin_wait(Vec::new(), earlier, io.now_ms);
        match seen {
            Some(id) => {
                self.begin_following(&id, false, io.now_ms);
                // The gateway may have forgotten it.
                self.recovery.knowledge = Knowledge::Nothing;
                self.claim(io)
            }
            None => self.request_tasks(io),
        }
    }

    pub(super) fn request_tasks(&mut self, io: &mut Io<'_>) -> Result<(), Failure> {
        let Some(target) = &self.target else {
            return Err(Failure::Bug("media was awaited of no session"));
        };
        let params = TasksParams {
            session_key: target.session.as_str(),
            status: &["queued", "running"],
        };
        let asked = io.request("tasks.list", &params)?;
        self.state = State::Yielded {
            search: Search::asked(asked, io.now_ms),
        };
        Ok(())
    }

    /// Ends the answer if no task of the session makes media. Without the list it is not known.
    pub(super) fn receive_tasks(
        &mut self,
        result: Result<Option<&RawValue>, Rejection<'_>>,
        io: &mut Io<'_>,
        show: &mut impl FnMut(RunEvent<'_>),
    ) {
        let list = result.ok().flatten();
        let list: TaskList<'_> = list
            .and_then(|list| parse::from_str(list.get()).ok())
            .unwrap_or_default();
        let session = self.target.as_ref().map(|target| target.session.as_str());
        let is_going = list
            .tasks
            .iter()
            .any(|task| task.kind.ends_with(TASK) && Some(&*task.session_key) == session);
        let until_ms = self.media.as_ref().map_or(0, |media| media.until_ms);
        if is_going && io.now_ms < until_ms {
            self.state = State::Yielded {
                search: Search::Pause {
                    until_ms: io.now_ms.saturating_add(PAUSE_MS),
                },
            };
        } else {
            self.finish_media(show);
        }
    }

    /// Ends the answer, with the files of all its runs.
    pub(crate) fn finish_media(&mut self, show: &mut impl FnMut(RunEvent<'_>)) {
        let finish = self.media.take().and_then(|media| media.finish);
        self.show_files(show);
        let summary = RunSummary {
            finish: finish.unwrap_or(Finish::Stop),
            usage: self.spent,
        };
        self.state = State::Ended;
        show(RunEvent::Ended(Ok(summary)));
    }
}
