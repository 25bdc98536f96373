# SPDX-License-Identifier: MIT
"""What a kernel's own code tells of its tasks, on kernels that the cross-compiler builds."""

import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from orchestrator.errors import UsageError
from orchestrator.guest.linux_tasks import ReadCode, task_offsets, task_types

# The functions that are looked at, written anew; what they look like is the compiler's business.
KERNEL = """
struct task_struct { char before[%(before)d]; volatile unsigned __state; char between[%(between)d];
    int prio, pid, tgid; char comm[16]; };
struct switched { int common[2]; char prev_comm[16]; int prev_pid, prev_prio; long prev_state;
    char next_comm[16]; int next_pid, next_prio; };
struct woken { int common[2]; char comm[16]; int pid, prio, cpu; };
void *reserve(void *file, unsigned bytes);
void commit(void *entry);
long schedule_timeout(long timeout);
static inline struct task_struct *current(void)
{
    struct task_struct *task;
    __asm__(%(current)s : "=r"(task));
    return task;
}
void trace_event_raw_event_sched_switch(void *file, int preempt, struct task_struct *prev,
                                        struct task_struct *next, unsigned state)
{
    struct switched *entry = reserve(file, sizeof(*entry));
    if (!entry)
        return;
    __builtin_memcpy(entry->next_comm, next->comm, 16);
    entry->prev_pid = prev->pid;
    entry->prev_prio = prev->prio;
    entry->prev_state = preempt ? 0x100 : (long)state;
    __builtin_memcpy(entry->prev_comm, prev->comm, 16);
    entry->next_pid = next->%(next_pid)s;
    entry->next_prio = next->prio;
    commit(entry);
}
void trace_event_raw_event_sched_wakeup_template(void *file, struct task_struct *p)
{
    struct woken *entry = reserve(file, sizeof(*entry));
    if (!entry)
        return;
    __builtin_memcpy(entry->comm, p->comm, 16);
    entry->pid = p->pid;
    entry->prio = p->prio;
    entry->cpu = 0;
    commit(entry);
}
unsigned long long bpf_get_current_pid_tgid(void)
{
    struct task_struct *task = current();
    if (!task)
        return -22;
    return (unsigned long long)task->%(beside)s << 32 | (unsigned)task->pid;
}
int saved_name(void *task);
int *place_of(int pid);
extern int names_wanted;
void tracing_record_taskinfo(struct task_struct *task, int flags)
{
    if (!(flags & 3) || !names_wanted)
        return;
    int done = !(flags & 1) || saved_name(task);
    if (flags & 2) {
        int *place = task->pid ? place_of(task->pid) : 0;
        if (!place)
            return;
        *place = task->%(recorded)s;
    }
    if (done)
        names_wanted = 0;
}
#define SLEEP(name, state)                                                                         \\
    long schedule_timeout_##name(long timeout)                                                     \\
    {                                                                                              \\
        current()->__state = state;                                                                \\
        return schedule_timeout(timeout);                                                          \\
    }
SLEEP(interruptible, 0x1)
SLEEP(uninterruptible, 0x2)
SLEEP(killable, 0x102)
"""
IN_TPIDRURO = '"mrc p15, 0, %0, c13, c0, 3"'
IN_STACK = '"bic %0, sp, #8128"'


def kernel(folder: Path, *, before: int = 0x218, between: int = 0x34, **changes: str) -> ReadCode:
    sizes = {"before": before, "between": between}
    changes = {"current": IN_TPIDRURO, "next_pid": "pid"} | changes
    changes = {"beside": "tgid", "recorded": "tgid"} | changes
    (folder / "kernel.c").write_text(KERNEL % (sizes | changes))
    compiler = shutil.which("arm-linux-gnueabihf-gcc")
    assert compiler, "the tests need arm-linux-gnueabihf-gcc: run ci/setup"
    made = folder / "kernel.o"
    flags = [
        *("-c", "-O2", "-marm", "-mcpu=cortex-a15", "-mno-unaligned-access", "-mfloat-abi=soft"),
        *("-fno-stack-protector", "-ffunction-sections", "-mgeneral-regs-only"),
    ]
    subprocess.run((compiler, *flags, "-o", made, folder / "kernel.c"), check=True)
    with made.open("rb") as file:
        sections = {each.name: each.data() for each in ELFFile(file).iter_sections()}
    return lambda name: (0x8000, sections.get(f".text.{name}", b""))


@pytest.mark.parametrize(("before", "between"), [(0x218, 0x34), (0x10, 0x4), (0x7F0, 0x180)])
def test_offsets_are_where_the_source_has_them(tmp_path: Path, before: int, between: int) -> None:
    found = task_offsets(kernel(tmp_path, before=before, between=between))
    prio = before + 4 + between
    assert found == {
        "__state": before, "prio": prio, "pid": prio + 4, "tgid": prio + 8, "comm": prio + 12
    }  # fmt: skip


@pytest.mark.parametrize("reads", [("pid", "tgid"), ("tgid", "pid")], ids=["ftrace", "BPF"])
def test_one_function_that_reads_it_tells_where_the_process_is(
    tmp_path: Path, reads: tuple[str, str]
) -> None:
    found = task_offsets(kernel(tmp_path, beside=reads[0], recorded=reads[1]))
    assert found is not None
    assert found["tgid"] == found["pid"] + 4


@pytest.mark.parametrize("reads", [("prio", "tgid"), ("tgid", "prio")], ids=["BPF", "ftrace"])
def test_a_kernel_that_contradicts_itself_has_tasks_without_processes(
    tmp_path: Path, reads: tuple[str, str]
) -> None:
    types = task_types(kernel(tmp_path, beside=reads[0], recorded=reads[1]))
    assert types is not None
    task = types.pointer_to("struct task_struct").target
    assert set(task.members) == {"comm", "pid", "prio", "__state"}


@pytest.mark.parametrize(
    ("current", "next_pid"),
    [(IN_STACK, "pid"), (IN_TPIDRURO, "prio")],
    ids=["current is elsewhere", "functions contradict each other"],
)
def test_a_kernel_that_is_not_understood_has_no_tasks(
    tmp_path: Path, current: str, next_pid: str
) -> None:
    assert task_types(kernel(tmp_path, current=current, next_pid=next_pid)) is None


def test_a_kernel_without_these_functions_has_no_tasks() -> None:
    assert task_types(lambda _name: (0, b"")) is None


def test_what_is_not_known_of_a_task_is_told(tmp_path: Path) -> None:
    types = task_types(kernel(tmp_path))
    assert types is not None
    task = types.pointer_to("struct task_struct").target
    assert task.member("comm").type.bytes == 16
    with pytest.raises(UsageError, match="known are comm, pid, tgid, prio, __state"):
        task.member("mm")
    with pytest.raises(UsageError, match="only 'struct task_struct' is known"):
        types.pointer_to("struct file")
