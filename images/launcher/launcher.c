/*
 * Process 1 of a container whose image is a function's own: starts the image's program when the agent says so, ends it and
 * all that it started when the agent says so, and tells how it ended. It is linked statically: the image may have no library,
 * no shell and no file but its program.
 *
 * usage: launcher SOCKET FIFO [CGROUPS EXTENSIONS]
 *
 * SOCKET is the agent's. It sends "start SIZE\n" and SIZE bytes of strings that each end with a zero byte: the working
 * directory, the number of arguments, the arguments, and variables (NAME=value) that are added to those of the image;
 * "extension SIZE\n" and the name of an extension, variables, and names of variables that it does not get; "terminate\n" or
 * "end\n", which ask the program alone to end, or end it; or "kill\n", which ends all. It gets "ended STATUS KILOBYTES\n",
 * the wait status and the most that was resident, "exited STATUS NAME\n" of an extension, or "term\n" when the container
 * was asked to end. First of all it gets "extension NAME\n" for each extension that the image has, and "memory\n"
 * with open files of our control group, where the node shows them, since only we see it: the most memory that the container
 * ever used, what it uses now, and how many processes and threads it has, if that is counted. What the program prints goes
 * to FIFO, and what extensions print to FIFO-of-extensions. Without an agent there is nothing to do: we end.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAYLOAD_MAX (1 << 20)
#define STRINGS_MAX 8192
#define EXTENSIONS_MAX 10
#define NAME_MAX_BYTES 256
#define MARKS 3
#define OURS "KUBELAMBDA_"
#define OF_KUBERNETES "KUBERNETES_"

extern char **environ;

static int agent, output;
static pid_t program = -1;
static const char *extensions_folder = "/opt/extensions";
static char extensions_output[PATH_MAX];
static struct {
  pid_t pid;
  char name[NAME_MAX_BYTES];
} extensions[EXTENSIONS_MAX];
static volatile sig_atomic_t asked_to_end;

static void on_signal(int number) {
  if (number == SIGTERM) asked_to_end = 1;
}

static void tell(const char *text) {
  size_t length = strlen(text);
  while (length > 0) {
    ssize_t sent = send(agent, text, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) exit(0);
    text += sent;
    length -= (size_t)sent;
  }
}

static int extensions_run(void) {
  for (int i = 0; i < EXTENSIONS_MAX; i++)
    if (extensions[i].pid > 0) return 1;
  return 0;
}

/* Nobody but us is left in the container after this; where we are not its process 1, sessions are what we know. */
static void kill_all(void) {
  if (getpid() == 1) {
    kill(-1, SIGKILL);
    return;
  }
  if (program > 0) kill(-program, SIGKILL);
  for (int i = 0; i < EXTENSIONS_MAX; i++)
    if (extensions[i].pid > 0) kill(-extensions[i].pid, SIGKILL);
}

/* The program and what it started in its session: what left that cannot be told from an extension's, and ends with those. */
static void end_program(void) {
  if (!extensions_run()) kill_all();
  else if (program > 0) kill(-program, SIGKILL);
}

static void take_leave_of_extension(pid_t ended, int status) {
  for (int i = 0; i < EXTENSIONS_MAX; i++) {
    if (extensions[i].pid != ended) continue;
    char text[NAME_MAX_BYTES + 32];
    extensions[i].pid = 0;
    snprintf(text, sizeof text, "exited %d %s\n", status, extensions[i].name);
    tell(text);
  }
}

static void reap(void) {
  int status;
  struct rusage used;
  pid_t ended;
  while ((ended = wait4(-1, &status, WNOHANG, &used)) > 0) {
    if (ended != program) {
      take_leave_of_extension(ended, status);
      continue;
    }
    char text[64];
    end_program();
    program = -1;
    snprintf(text, sizeof text, "ended %d %ld\n", status, used.ru_maxrss);
    tell(text);
  }
}

static void limit(int kind, rlim_t wanted) {
  struct rlimit found;
  if (getrlimit(kind, &found) == 0) {
    if (found.rlim_max != RLIM_INFINITY && found.rlim_max < wanted) wanted = found.rlim_max;
    found.rlim_cur = found.rlim_max = wanted;
    setrlimit(kind, &found);
  }
}

static void run(char *folder, char **arguments) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGTERM, SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  setsid();
  if (getpid() != 1) prctl(PR_SET_PDEATHSIG, SIGKILL);
  limit(RLIMIT_NOFILE, 1024);
  limit(RLIMIT_MEMLOCK, 65536);
  dup2(output, 1);
  dup2(output, 2);
  if (folder[0] != 0 && chdir(folder) != 0) {
    dprintf(2, "%s: %s\n", folder, strerror(errno));
    _exit(126);
  }
  execvp(arguments[0], arguments);
  dprintf(2, "%s: %s\n", arguments[0], strerror(errno));
  _exit(127);
}

static char *strings[STRINGS_MAX + 1];

static size_t split(char *payload, size_t size) {
  size_t count = 0;
  if (size == 0 || payload[size - 1] != 0) exit(1);
  for (char *at = payload; at < payload + size && count < STRINGS_MAX; at += strlen(at) + 1) strings[count++] = at;
  return count;
}

static void start_extension(char *payload, size_t size) {
  size_t count = split(payload, size);
  int place = 0;
  while (place < EXTENSIONS_MAX && extensions[place].pid > 0) place++;
  if (place == EXTENSIONS_MAX || strlen(strings[0]) >= NAME_MAX_BYTES) exit(1);
  strcpy(extensions[place].name, strings[0]);
  extensions[place].pid = fork();
  if (extensions[place].pid < 0) take_leave_of_extension(extensions[place].pid, 32256);
  if (extensions[place].pid != 0) return;
  for (size_t i = 1; i < count; i++) putenv(strings[i]); /* a name alone takes the variable away */
  int own = open(extensions_output, O_WRONLY | O_CLOEXEC);
  if (own >= 0) output = own;
  char path[strlen(extensions_folder) + NAME_MAX_BYTES + 1];
  sprintf(path, "%s/%s", extensions_folder, strings[0]);
  char *command[] = {path, NULL};
  run("/", command);
}

static void start(char *payload, size_t size) {
  size_t count = split(payload, size);
  if (count < 3) exit(1);
  size_t arguments = strtoul(strings[1], NULL, 10);
  if (arguments == 0 || arguments + 2 > count) exit(1);
  program = fork();
  if (program < 0) {
    tell("ended 32256 0\n");
    return;
  }
  if (program > 0) return;
  for (size_t i = arguments + 2; i < count; i++) putenv(strings[i]);
  strings[arguments + 2] = NULL;
  run(strings[0], strings + 2);
}

static int connected(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  for (;;) {
    int found = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (found >= 0 && connect(found, (struct sockaddr *)&address, sizeof address) == 0) return found;
    if (found >= 0) close(found);
    if (asked_to_end) exit(0);
    usleep(20000);
  }
}

static void tell_extensions(const char *folder) {
  DIR *opened = opendir(folder);
  struct dirent *found;
  while (opened != NULL && (found = readdir(opened)) != NULL) {
    struct stat about;
    char text[sizeof found->d_name + 16];
    if (fstatat(dirfd(opened), found->d_name, &about, 0) != 0 || !S_ISREG(about.st_mode)) continue;
    if ((about.st_mode & 0111) == 0 || strchr(found->d_name, '\n') != NULL) continue;
    snprintf(text, sizeof text, "extension %s\n", found->d_name);
    tell(text);
  }
  if (opened != NULL) closedir(opened);
}

/* Opens the marks of our control group, of version 2 or 1; how many of them are there: none without those of memory. */
static int open_marks(const char *folder, int *files) {
  static const char *const names[2][MARKS] = {
      {"memory.peak", "memory.current", "pids.current"},
      {"memory/memory.max_usage_in_bytes", "memory/memory.usage_in_bytes", "pids/pids.current"}};
  int groups = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), found = 0;
  for (int version = 0; groups >= 0 && !found && version < 2; version++) {
    for (int i = 0; i < MARKS; i++) files[i] = openat(groups, names[version][i], O_RDONLY | O_CLOEXEC);
    found = files[0] < 0 || files[1] < 0 ? 0 : files[2] < 0 ? 2 : MARKS;
    for (int i = 0; !found && i < MARKS; i++)
      if (files[i] >= 0) close(files[i]);
  }
  if (groups >= 0) close(groups);
  return found;
}

static void show_memory(const char *folder) {
  int files[MARKS];
  int count = open_marks(folder, files);
  if (count == 0) {
    tell("memory\n");
    return;
  }
  char text[] = "memory\n";
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof files)];
  } control = {0};
  struct iovec part = {.iov_base = text, .iov_len = sizeof text - 1};
  size_t size = (size_t)count * sizeof files[0];
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = CMSG_SPACE(size)};
  struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(rights), files, size);
  if (sendmsg(agent, &message, MSG_NOSIGNAL) < 0) exit(0);
  for (int i = 0; i < count; i++) close(files[i]);
}

/* What is ours, or Kubernetes', is nothing for the function. */
static void forget_variables(void) {
  for (char **at = environ; *at != NULL;) {
    if (strncmp(*at, OURS, strlen(OURS)) != 0 && strncmp(*at, OF_KUBERNETES, strlen(OF_KUBERNETES)) != 0) {
      at++;
      continue;
    }
    for (char **rest = at; *rest != NULL; rest++) rest[0] = rest[1];
  }
}

/* Does what was sent, as far as all of it is there; how many bytes that were. */
static size_t obey(char *received, size_t size) {
  char *end = memchr(received, '\n', size);
  if (end == NULL) return 0;
  size_t line = (size_t)(end - received) + 1;
  if (strncmp(received, "kill\n", line) == 0) {
    kill_all();
    return line;
  }
  if (strncmp(received, "terminate\n", line) == 0) {
    if (program > 0) kill(program, SIGTERM);
    return line;
  }
  if (strncmp(received, "end\n", line) == 0) {
    end_program();
    return line;
  }
  int program_follows = strncmp(received, "start ", 6) == 0;
  if (!program_follows && strncmp(received, "extension ", 10) != 0) exit(1);
  size_t payload = strtoul(received + (program_follows ? 6 : 10), NULL, 10);
  if (payload > PAYLOAD_MAX) exit(1);
  if (size < line + payload) return 0;
  (program_follows ? start : start_extension)(received + line, payload);
  return line + payload;
}

int main(int count, char **arguments) {
  static char received[PAYLOAD_MAX + 64];
  size_t size = 0;
  if (count != 3 && count != 5) return 2;
  sigset_t handled, before;
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGCHLD, &action, NULL);
  prctl(PR_SET_DUMPABLE, 0);
  forget_variables();
  agent = connected(arguments[1]);
  output = open(arguments[2], O_WRONLY | O_CLOEXEC);
  if (output < 0) return 1;
  snprintf(extensions_output, sizeof extensions_output, "%s-of-extensions", arguments[2]);
  if (count == 5) extensions_folder = arguments[4];
  tell_extensions(extensions_folder);
  show_memory(count == 5 ? arguments[3] : "/sys/fs/cgroup");
  sigemptyset(&handled);
  sigaddset(&handled, SIGTERM);
  sigaddset(&handled, SIGCHLD);
  sigprocmask(SIG_BLOCK, &handled, &before);
  for (;;) {
    struct pollfd watched = {.fd = agent, .events = POLLIN};
    int found = ppoll(&watched, 1, NULL, &before);
    reap();
    if (asked_to_end == 1) {
      asked_to_end = 2;
      tell("term\n");
    }
    if (found <= 0) continue;
    ssize_t more = recv(agent, received + size, sizeof received - size, MSG_DONTWAIT);
    if (more < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (more <= 0) {
      kill_all();
      return 0;
    }
    size += (size_t)more;
    for (size_t done; (done = obey(received, size)) > 0; size -= done) memmove(received, received + done, size - done);
  }
}
