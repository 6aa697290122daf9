"""Programs that are measured in turns: each in a process of its own, pinned and stopped while another runs."""
import os
import signal
import subprocess

TICK = os.sysconf("SC_CLK_TCK")


class Worker:
    """A process that says "ready" and then answers lines."""

    def __init__(self, command, cores, env=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env={**os.environ, **(env or {})},
                                        preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.ready = self.answer() == "ready"
        self.stop()

    def answer(self):
        return self.process.stdout.readline().strip()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)

    def ask(self, line):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.stop()
        return answer

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def close(self):
        self.process.kill()
        self.process.wait()


def busy(cores):
    """Seconds that the cores have worked, for anybody."""
    total = 0
    for line in open("/proc/stat"):
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
            total += user + nice + system + irq + softirq + steal
    return total / TICK


def memory(field):
    """A line of this process's status, such as VmHWM, in bytes."""
    for line in open("/proc/self/status"):
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0
