"""What should an objective promise? Form or text, beside what real history says about it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import streamlit as st

from analytics.core.errors import NotFoundError
from analytics.slo.catalogue import Entry, Revision, changes
from analytics.slo.history import History
from analytics.slo.model import CompositeEvents, Objective, SqlEvents
from analytics.slo.specs.durations import percent
from dashboard import actions, data, formats, guard, slo_actions, slo_questions
from dashboard.auth.roles import Role
from dashboard.auth.viewer import current_viewer
from dashboard.components import slo_editor, slo_editor_import, slo_editor_trial, states, versions
from dashboard.components.editor import draw_problems
from dashboard.components.graph.source_text import source_text, typed_text
from dashboard.components.head import current_filters
from dashboard.components.navigation import go
from dashboard.components.slo_editor import Checked, Draft
from dashboard.components.slo_editor_form import Form
from dashboard.components.slo_editor_trial import Trial
from dashboard.links import page_of, query

T = TypeVar("T")

filters = current_filters()
viewer = current_viewer()
HEIGHT = 620
TEXT = "slo_editor.text"
GO_TO = "slo_editor.go_to"
TRIAL = "slo_editor.trial"
LADDER = "slo_editor.ladder"
WAYS = {"form": ":material/list_alt: Form", "text": ":material/code: Text"}
VIEWS = {
    "standing": ":material/monitoring: Preview",
    "alarms": ":material/notifications: Alerts",
    "targets": ":material/tune: What if",
    "checks": ":material/fact_check: Checks",
    "changes": ":material/difference: Changes",
}
slo_id = st.query_params.get("id")
wanted = st.query_params.get("revision")
place = f"{slo_id or ''}@{wanted or ''}"


class Stored:
    """What is stored of the objective that is edited; of a new one, nothing."""

    def __init__(self, revisions: Sequence[Revision] = ()) -> None:
        self.objective = next((item.objective for item in revisions if item.objective is not None), None)
        self.text = None if self.objective is None else slo_editor.text_of_objective(self.objective)
        self.newest = revisions[0] if revisions else None
        self.base = 0 if self.newest is None else self.newest.revision
        self.is_active = self.newest is None or self.newest.is_active
        self.start = self.text if wanted is None else _text_of(revisions, wanted)


def _text_of(revisions: Sequence[Revision], number: str) -> str:
    found = next((item.objective for item in revisions if str(item.revision) == number), None)
    if found is None:
        raise NotFoundError(f"There is no definition of revision {number[:20]!r}; choose one on the objective's page.")
    return slo_editor.text_of_objective(found)


# ---- The head ----


def draw_way_back() -> None:
    key, label = ("slos", "All objectives") if slo_id is None else ("slo", "The objective's page")
    st.page_link(
        str(page_of(key).path), label=label, icon=":material/arrow_back:", query_params=query(filters, id=slo_id)
    )


def draw_out_of_use(stored: Stored) -> None:
    newest = stored.newest
    if newest is None or newest.is_active:
        return
    by = f" by {formats.escaped(newest.created_by)}: {formats.escaped(newest.note) or 'no reason given'}"
    st.warning(f"This objective is out of use{by}. Its history stays.", icon=":material/inventory_2:")
    if st.button("Take into use again", icon=":material/restore:", key="slo_editor.restore", disabled=not may(stored)):
        restore()


def restore() -> None:
    if slo_id is not None and actions.succeeds(lambda: slo_actions.restore_slo(slo_id)):
        st.toast("In use again.", icon=":material/check_circle:")
        st.rerun()


def may(stored: Stored, objective: Objective | None = None) -> bool:
    """Return whether the viewer may store what is stored now, and *objective* in its place."""
    held = [item for item in (stored.objective, objective) if item is not None]
    return viewer.role >= max((slo_actions.role_to_change(item) for item in held), default=Role.OPERATOR)


# ---- The draft ----


def current_draft(stored: Stored) -> Draft:
    """Return the draft with what was typed; one without changes follows what others save."""
    draft = slo_editor.draft_of(st.session_state, place, stored.start, stored.text, stored.base)
    typed = typed_text(f"{TEXT}.{place}", draft.revision)
    if typed is not None and typed != draft.text:
        draft = draft.typed(typed)
    if draft.base != stored.base and not draft.is_changed:
        draft = draft.saved(stored.text, stored.base)
    slo_editor.keep(st.session_state, place, draft)
    return draft


def put(path: str, value: Any) -> None:
    """Write a value into the draft, as the form does."""
    draft = held_draft()
    document = slo_editor.check(draft.text).document
    if document is not None:
        keep(draft.filled_in(slo_editor.text_of(slo_editor.with_value(document, path, value))))


def put_from_outside(path: str, value: Any) -> None:
    """Write a value into the draft from outside of the form, whose fields then show it."""
    put(path, value)
    keep(held_draft().replaced(held_draft().text))


def held_draft() -> Draft:
    return slo_editor.draft_of(st.session_state, place, None, None, 0)


def keep(draft: Draft) -> None:
    slo_editor.keep(st.session_state, place, draft)


def check(draft: Draft, entries: Sequence[Entry]) -> Checked:
    checked = slo_editor.check(draft.text)
    if checked.objective is None:
        return checked
    if slo_id is not None and checked.objective.id != slo_id:
        return checked.refused("id", f"the id is {slo_id} and stays; for another one, write a new objective")
    if slo_id is None and any(entry.slo_id == checked.objective.id for entry in entries):
        return checked.refused("id", "there is an objective of this id; open it to change it, or choose another id")
    return checked


# ---- Drawing ----


def draw_editor(stored: Stored) -> None:
    entries = slo_questions.slo_entries().value or []
    draft = current_draft(stored)
    checked = check(draft, entries)
    draw_conflict(draft, stored)
    draw_tools(draft, checked, stored)
    beside_save = st.container(border=True, key="slo_editor.save")
    left, right = st.columns(2, gap="medium")
    with left:
        draw_writing(draft, checked, entries)
    with right:
        trial = draw_evidence(draft, checked, stored)
    with beside_save:
        draw_save(draft, checked, stored, trial)


def draw_conflict(draft: Draft, stored: Stored) -> None:
    newest = stored.newest
    if newest is None or draft.base == stored.base:
        return
    with st.container(border=True, key="slo_editor.conflict"):
        note = f" ({formats.escaped(newest.note)})" if newest.note else ""
        st.markdown(
            f":orange-badge[:material/call_split: Changed meanwhile] {formats.escaped(newest.created_by)} saved"
            f" revision {newest.revision}{note}. You began from revision {draft.base}; nothing of yours is saved."
            " The view Changes shows how yours differs from theirs."
        )
        with st.container(horizontal=True):
            st.button(
                "Keep mine, on top of theirs",
                icon=":material/vertical_align_top:",
                key="slo_editor.mine",
                on_click=lambda: keep(replace(draft, stored=stored.text, base=stored.base)),
            )
            st.button(
                "Take theirs",
                icon=":material/undo:",
                key="slo_editor.theirs",
                on_click=lambda: keep(draft.saved(stored.text, stored.base)),
            )


def draw_tools(draft: Draft, checked: Checked, stored: Stored) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(width="content"):
            st.markdown(slo_editor.badges(draft, checked))
        with st.container(horizontal=True, width="content"):
            if draft.is_changed and draft.stored is not None:
                st.button(
                    "Discard changes",
                    icon=":material/undo:",
                    key="slo_editor.discard",
                    on_click=lambda: keep(draft.saved(stored.text, stored.base)),
                )
            # A key that changes with the draft: taking something in closes it.
            with st.popover("Import", icon=":material/upload_file:", key=f"slo_editor.imports.{draft.revision}"):
                slo_editor_import.draw(f"{place}.{draft.revision}", take=take)
            st.download_button(
                "Export",
                data=draft.text,
                file_name=f"{slo_id or 'objective'}.yaml",
                mime="application/yaml",
                icon=":material/download:",
                on_click="ignore",
                key="slo_editor.export",
            )
            if slo_id is not None and stored.is_active:
                draw_removal(stored)


def take(objective: Objective) -> None:
    """Put an imported objective in place of the draft; one that is stored keeps its id."""
    named = objective if slo_id is None else replace(objective, id=slo_id)
    keep(held_draft().replaced(slo_editor.text_of_objective(named)))


def draw_removal(stored: Stored) -> None:
    with st.popover("Take out of use", icon=":material/delete:", disabled=not may(stored)):
        st.caption("It is not measured, shown or alerted on any more. Its history stays, and it can be taken back.")
        note = st.text_input("Why", key="slo_editor.removal.note", max_chars=200)
        if st.button("Take out of use", icon=":material/delete:", type="primary", key="slo_editor.remove"):
            remove(note or "", stored.base)


def remove(note: str, base: int) -> None:
    if slo_id is not None and actions.succeeds(
        lambda: slo_actions.deactivate_slo(slo_id, note=note, expected_revision=base)
    ):
        slo_questions.slo_entries.forget()
        st.toast("Taken out of use.", icon=":material/inventory_2:")
        st.rerun()


def draw_writing(draft: Draft, checked: Checked, entries: Sequence[Entry]) -> None:
    way = st.segmented_control(
        "How to write",
        list(WAYS),
        default="form",
        format_func=WAYS.__getitem__,
        key="slo_editor.way",
        required=True,
        label_visibility="collapsed",
    )
    if way == "text" or checked.document is None:
        draw_text(draft, checked)
        return
    others = {
        entry.slo_id: entry.objective.title
        for entry in entries
        if entry.is_active and entry.objective is not None and entry.slo_id != slo_id
        if not isinstance(entry.objective.indicator, CompositeEvents)
    }
    form = Form(checked.document, key=f"slo_editor.form.{place}.{draft.form}", problems=checked.problems, change=put)
    form.draw(is_new=slo_id is None, others=others)


def draw_text(draft: Draft, checked: Checked) -> None:
    if checked.problems:
        line = draw_problems(checked.problems)
        if line is not None:
            _, number = st.session_state.get(GO_TO) or (0, 0)
            st.session_state[GO_TO] = (line, number + 1)
    source_text(
        draft.text,
        key=f"{TEXT}.{place}",
        revision=draft.revision,
        saved=draft.stored or slo_editor.EXAMPLE,
        problems=checked.problems,
        go_to=st.session_state.get(GO_TO),
        height=HEIGHT,
        label="Objective (YAML)",
    )


# ---- Beside the draft: what history says ----


def draw_evidence(draft: Draft, checked: Checked, stored: Stored) -> Trial | None:
    view = st.segmented_control(
        "Beside the draft",
        list(VIEWS),
        default="standing",
        format_func=VIEWS.__getitem__,
        key="slo_editor.view",
        required=True,
        label_visibility="collapsed",
    )
    objective = checked.objective
    if view == "changes":
        draw_changes(draft, objective, stored)
    elif objective is None:
        hint = "What real history says of it is shown as soon as it has no mistakes."
        states.empty("Nothing to judge yet", hint, icon=":material/rule:")
    elif view == "checks":
        draw_checks(objective)
    trial = None if objective is None else judged(objective, stored)
    if trial is not None:
        match view:
            case "standing":
                slo_editor_trial.draw_standing(trial)
            case "alarms":
                slo_editor_trial.draw_alarms(trial)
            case "targets":
                draw_targets(trial)
            case _:
                pass
    return trial


def judged(objective: Objective, stored: Stored) -> Trial | None:
    """Return what history says of *objective*, or None after drawing why that is not known."""
    history = actions.attempt(lambda: history_of(objective, stored))
    if history is None:
        return None
    span = slo_editor_trial.judged_of(history)
    incidents = slo_questions.slo_incidents(objective.service, span).value or []
    return remembered(
        TRIAL,
        (objective, stored.objective, history, incidents),
        lambda: slo_editor_trial.judge(objective, stored.objective, history, incidents),
    )


def history_of(objective: Objective, stored: Stored) -> History | None:
    document, interval = slo_editor_trial.measured(objective), slo_editor_trial.span_of(objective)
    events = objective.indicator
    if isinstance(events, CompositeEvents) or (stored.objective is not None and stored.objective.indicator == events):
        return states.settle(slo_questions.slo_history(document, interval), "Its history")
    if not may_try(objective):
        return None
    ask = slo_questions.slo_preview_of_rows if isinstance(events, SqlEvents) else slo_questions.slo_preview
    return states.settle(ask(document, interval.until, interval.length.days), "Its history")


def may_try(objective: Objective) -> bool:
    """Return whether the viewer may ask the source of *objective*, after drawing that it is not so."""
    role = slo_actions.role_to_change(objective)
    if viewer.role >= role:
        return True
    hint = f"Asking a source with a new indicator needs the role {role.label}. Everything else can be tried."
    states.empty("Not tried", hint, icon=":material/lock:")
    return False


def remembered(name: str, key: object, make: Callable[[], T]) -> T:
    """Return what was made for *key* last in this session, or make it."""
    held = st.session_state.get(name)
    if held is None or held[0] != key:
        held = st.session_state[name] = (key, make())
    found: T = held[1]
    return found


def draw_targets(trial: Trial) -> None:
    rows = remembered(LADDER, trial, lambda: slo_editor_trial.ladder_of(trial))
    slo_editor_trial.draw_targets(trial, rows, use=lambda target: put_from_outside("target", percent(target)))


def draw_checks(objective: Objective) -> None:
    if isinstance(objective.indicator, CompositeEvents):
        states.empty("Nothing to check", "A composite has no source of its own.", icon=":material/fact_check:")
        return
    if not may_try(objective):
        return
    is_sql = isinstance(objective.indicator, SqlEvents)
    ask = slo_questions.slo_problems_of_rows if is_sql else slo_questions.slo_problems
    document = slo_editor_trial.measured(objective, keep_target=True)
    found = actions.attempt(lambda: states.settle(ask(document), "The checks"))
    if found is not None:
        slo_editor_trial.draw_checks(found)


def draw_changes(draft: Draft, objective: Objective | None, stored: Stored) -> None:
    if stored.text is None:
        states.empty("Nothing to compare with", "The objective is not saved yet.", icon=":material/difference:")
        return
    slo_editor_trial.draw_changes(changes(stored.objective, objective))
    versions.draw_lines(stored.text, draft.text, names=(f"revision {stored.base}", "draft"))


# ---- Saving ----


def draw_save(draft: Draft, checked: Checked, stored: Stored, trial: Trial | None) -> None:
    left, right = st.columns([3, 2], gap="large", vertical_alignment="center")
    with left:
        if trial is None:
            st.markdown("**Its alerts on real history**")
            st.caption("Not known yet; pages and false pages stand here once the draft is judged.")
        else:
            slo_editor_trial.draw_summary(trial)
            draw_suggestion(trial)
    with right:
        is_allowed = may(stored, checked.objective)
        is_behind = draft.base != stored.base
        note = st.text_input(
            "Why (for the history)",
            key=f"slo_editor.note.{place}.{stored.base}",
            max_chars=200,
            disabled=not is_allowed,
        )
        is_ready = is_allowed and checked.objective is not None and draft.is_changed and not is_behind
        label = "Save objective" if slo_id is None else f"Save as revision {stored.base + 1}"
        if st.button(label, icon=":material/save:", type="primary", key="slo_editor.store", disabled=not is_ready):
            save(draft, checked, note or "")
        if not is_allowed:
            role = Role.OPERATOR if checked.objective is None else slo_actions.role_to_change(checked.objective)
            st.caption(f":material/lock: Saving needs the role {role.label}; nothing is kept.")
        elif checked.problems:
            st.caption(":material/error: Mend what is wrong first.")
        elif is_behind:
            st.caption(":material/call_split: Decide above whose text to go on with.")


def draw_suggestion(trial: Trial) -> None:
    if trial.suggested is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(
            f":material/lightbulb: With at least {formats.plural(trial.suggested, 'bad event')} there are fewer false"
            " pages, and no incident is missed.",
            width="content",
        )
        st.button(
            "Use",
            key="slo_editor.suggested",
            type="tertiary",
            icon=":material/check:",
            on_click=lambda: put_from_outside("alerting.min_bad", trial.suggested),
        )


def save(draft: Draft, checked: Checked, note: str) -> None:
    objective = checked.objective
    if objective is None:
        return
    stored = actions.attempt(lambda: slo_actions.save_slo(objective, note=note, expected_revision=draft.base))
    slo_questions.slo_entries.forget()
    data.slo_revisions.forget()
    if stored is None:
        return
    keep(draft.saved(draft.text, stored.revision))
    st.toast(f"Saved as revision {stored.revision}.", icon=":material/check_circle:")
    if slo_id is None or wanted is not None:
        slo_editor.forget(st.session_state, place)
    if slo_id is None:
        go("slo", filters, id=stored.id)
    st.query_params.pop("revision", None)
    st.rerun()


# ---- The page ----


def kept() -> Stored | None:
    if slo_id is None:
        return Stored()
    revisions = states.settle(data.slo_revisions(slo_id), "The objective")
    return None if revisions is None else Stored(revisions)


def draw() -> None:
    stored = kept()
    if stored is not None:
        draw_editor(stored)


draw_way_back()
found = kept()
if found is not None:
    st.header(formats.escaped(found.objective.title) if found.objective else "New objective", anchor=False)
    if wanted is not None:
        st.caption(f"The text is that of revision {formats.escaped(wanted)}; saved, it becomes the newest.")
    draw_out_of_use(found)
    st.fragment(lambda: guard.guarded(draw, name="slo_editor"))()
