/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Streams are HANDLEs. What they may be (consoles, pipes, files) cannot all be waited for, so each
 * input has a thread that reads it; a stream is written to by a thread anyway.
 */
#include <windows.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/os.h"
#include "os/windows.h"

int vmm_file_create(visor_file *out, const char *path, vmm_error *error)
{
    HANDLE file = CreateFileA(path, GENERIC_WRITE, FILE_SHARE_READ, NULL, CREATE_ALWAYS, 0, NULL);
    char text[200];

    if (file == INVALID_HANDLE_VALUE)
        return vmm_fail(error, VISOR_ESYSTEM, "file '%s': %s", path,
                        vmm_windows_text(text, sizeof(text), GetLastError()));
    *out = (visor_file)file;
    return 0;
}

int vmm_socket_connect(visor_file *out, const char *path, vmm_error *error)
{
    (void)out;
    return vmm_fail(error, VISOR_EUNSUPPORTED, "socket '%s': there are none for visor on Windows",
                    path);
}

void vmm_file_close(visor_file file)
{
    if (file != VISOR_FILE_NONE)
        CloseHandle((HANDLE)file);
}

/* ---- writing ---- */

/* Consoles and pipes take no more at once. */
#define WRITE_MAX 4096

ptrdiff_t vmm_write(visor_file file, const uint8_t *data, size_t length)
{
    DWORD part = length < WRITE_MAX ? (DWORD)length : WRITE_MAX, done = 0;

    if (WriteFile((HANDLE)file, data, part, &done, NULL))
        return done;
    return GetLastError() == ERROR_OPERATION_ABORTED ? 0 : -vmm_windows_errno(GetLastError());
}

void vmm_writer_begin(void)
{
}

/*
 * Cancels what the thread waits for until it ends. It may be between two waits, so once is not
 * enough; and where nothing can be cancelled it is ended: it holds no lock while it waits.
 */
static void end_thread(pthread_t thread)
{
    HANDLE handle = pthread_gethandle(thread);

    for (int i = 0; i < 20; i++) {
        CancelSynchronousIo(handle);
        if (WaitForSingleObject(handle, 10) == WAIT_OBJECT_0)
            break;
        if (i == 19)
            TerminateThread(handle, 0);
    }
    pthread_join(thread, NULL);
}

void vmm_writer_end(pthread_t thread)
{
    end_thread(thread);
}

/* ---- reading ---- */

struct vmm_input {
    HANDLE file;
    HANDLE ready; /* an event that stays set while there is something */
    HANDLE stop;  /* an event: there is no more interest */
    bool is_console;
    WCHAR half; /* of a character that the console gives in two, or 0 */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t taken;
    size_t start, end; /* what is there of data */
    bool closed;       /* there will be no more */
    atomic_bool ending;
    uint8_t data[1024];
};

#define KEYS_MAX 256 /* none of them becomes more than 4 bytes */

/* Ctrl-@, which is Ctrl with 2 or the space bar. Its character is 0, like that of no character. */
static bool is_nul(const KEY_EVENT_RECORD *key)
{
    const DWORD ctrl = LEFT_CTRL_PRESSED | RIGHT_CTRL_PRESSED;
    const DWORD alt = LEFT_ALT_PRESSED | RIGHT_ALT_PRESSED; /* with Ctrl: AltGr */

    return key->bKeyDown && (key->dwControlKeyState & ctrl) != 0 &&
           (key->dwControlKeyState & alt) == 0 &&
           (key->wVirtualKeyCode == VK_SPACE || key->wVirtualKeyCode == '2');
}

/* The characters of some records of the console; how many. */
static int find_keys(WCHAR keys[KEYS_MAX], struct vmm_input *input, const INPUT_RECORD *records,
                     DWORD count)
{
    int found = 0;

    if (input->half != 0)
        keys[found++] = input->half;
    input->half = 0;
    for (DWORD i = 0; i < count; i++) {
        const KEY_EVENT_RECORD *key = &records[i].Event.KeyEvent;

        if (records[i].EventType != KEY_EVENT || (key->uChar.UnicodeChar == 0 && !is_nul(key)))
            continue;
        /* What was composed with Alt comes when that is let go. */
        if (!key->bKeyDown && key->wVirtualKeyCode != VK_MENU)
            continue;
        for (WORD n = 0; n < key->wRepeatCount && found < KEYS_MAX; n++)
            keys[found++] = key->uChar.UnicodeChar;
    }
    if (found > 0 && (keys[found - 1] & 0xfc00) == 0xd800)
        input->half = keys[--found];
    return found;
}

/*
 * A console's keys are UTF-16, of which a guest's terminal wants UTF-8. They are taken one by one:
 * a read that began before the console was raw would give lines. 0: there will be no more.
 */
static size_t read_keys(struct vmm_input *input)
{
    const HANDLE handles[] = {input->stop, input->file};
    INPUT_RECORD records[KEYS_MAX / 8];
    WCHAR keys[KEYS_MAX];
    DWORD count;
    int found;

    do {
        if (WaitForMultipleObjects(2, handles, FALSE, INFINITE) != WAIT_OBJECT_0 + 1 ||
            !ReadConsoleInputW(input->file, records, KEYS_MAX / 8, &count))
            return 0;
        found = find_keys(keys, input, records, count);
    } while (found == 0);
    found = WideCharToMultiByte(CP_UTF8, 0, keys, found, (char *)input->data, sizeof(input->data),
                                NULL, NULL);
    return found > 0 ? (size_t)found : 0;
}

/* No bytes are a pipe's writer that wrote none; the end of a pipe is an error. */
static size_t read_bytes(struct vmm_input *input)
{
    bool is_pipe = GetFileType(input->file) == FILE_TYPE_PIPE, worked;
    DWORD count = 0;

    do
        worked = ReadFile(input->file, input->data, sizeof(input->data), &count, NULL);
    while (worked && count == 0 && is_pipe && !atomic_load(&input->ending));
    return worked ? count : 0;
}

static void *reader(void *argument)
{
    struct vmm_input *input = argument;
    size_t got;

    do {
        got = input->is_console ? read_keys(input) : read_bytes(input);
        if (atomic_load(&input->ending))
            break;
        pthread_mutex_lock(&input->lock);
        input->start = 0;
        input->end = got;
        input->closed = got == 0;
        SetEvent(input->ready);
        while (input->end != 0 && !atomic_load(&input->ending))
            pthread_cond_wait(&input->taken, &input->lock);
        pthread_mutex_unlock(&input->lock);
    } while (got != 0 && !atomic_load(&input->ending));
    return NULL;
}

static void release(struct vmm_input *input)
{
    if (input->ready != NULL)
        CloseHandle(input->ready);
    if (input->stop != NULL)
        CloseHandle(input->stop);
    pthread_mutex_destroy(&input->lock);
    pthread_cond_destroy(&input->taken);
    free(input);
}

int vmm_input_create(vmm_input **out, visor_file file, vmm_error *error)
{
    struct vmm_input *input = calloc(1, sizeof(*input));
    DWORD mode;
    int code;

    if (input == NULL)
        return vmm_fail(error, VISOR_ENOMEM, "out of memory");
    input->file = (HANDLE)file;
    input->is_console = GetConsoleMode(input->file, &mode);
    input->ready = CreateEventW(NULL, TRUE, FALSE, NULL);
    input->stop = CreateEventW(NULL, TRUE, FALSE, NULL);
    pthread_mutex_init(&input->lock, NULL);
    pthread_cond_init(&input->taken, NULL);
    if (input->ready == NULL || input->stop == NULL)
        code = vmm_fail(error, VISOR_ESYSTEM, "CreateEvent: error %lu", GetLastError());
    else
        code = vmm_thread_start(&input->thread, reader, input, error);
    if (code < 0) {
        release(input);
        return code;
    }
    *out = input;
    return 0;
}

void vmm_input_free(vmm_input *input)
{
    if (input == NULL)
        return;
    atomic_store(&input->ending, true);
    SetEvent(input->stop);
    pthread_mutex_lock(&input->lock);
    pthread_cond_signal(&input->taken);
    pthread_mutex_unlock(&input->lock);
    end_thread(input->thread);
    release(input);
}

visor_event vmm_input_event(const vmm_input *input)
{
    return (visor_event)input->ready;
}

ptrdiff_t vmm_input_read(vmm_input *input, uint8_t *out, size_t capacity)
{
    ptrdiff_t length = -1;

    pthread_mutex_lock(&input->lock);
    if (input->end != 0) {
        size_t part = input->end - input->start;

        if (part > capacity)
            part = capacity;
        memcpy(out, input->data + input->start, part);
        input->start += part;
        length = (ptrdiff_t)part;
        if (input->start == input->end) {
            input->start = input->end = 0;
            ResetEvent(input->ready);
            pthread_cond_signal(&input->taken);
        }
    } else if (input->closed) {
        length = 0;
    }
    pthread_mutex_unlock(&input->lock);
    return length;
}
