/* SPDX-License-Identifier: MIT */
/* Creation, deletion, names and queries of tasks. test_task_state.c has the rest of OSTask*(). */
#include "t.h"

struct pender {
    OS_EVENT *event;
    INT8U err;
};

static INT8U isr_err;

static void mark_arg(void *p)
{
    t_mark(*(char *)p);
}

static void nothing(void *p)
{
    (void)p;
}

static void sleep_long(void *p)
{
    (void)p;
    OSTimeDly(1000);
    t_mark('!');
}

static void pend_sem(void *p)
{
    struct pender *w = p;

    OSSemPend(w->event, 0, &w->err);
    t_mark('!');
}

TEST(task_create_runs_by_priority)
{
    char high = 'h';
    char low = 'l';

    t_task(10, mark_arg, &high);
    t_mark('1');
    t_task(30, mark_arg, &low);
    t_mark('2');
    OSTimeDly(1);
    CHECK_MARKS("h12l");
}

static void finish_abc(void *p)
{
    (void)p;
    CHECK_MARKS("abc");
    CHECK_EQ(OSRunning, OS_TRUE);
    t_pass();
}

TEST(task_create_before_start)
{
    static char tags[] = "abc";

    t_task(12, mark_arg, &tags[1]);
    t_task(13, mark_arg, &tags[2]);
    t_task(11, mark_arg, &tags[0]);
    CHECK_MARKS("");
    CHECK_EQ(OSRunning, OS_FALSE);
    t_task(14, finish_abc, (void *)0);
    OSStart();
}

static void isr_create(void)
{
    isr_err = OSTaskCreate(nothing, (void *)0, &t_stack()[T_STK_WORDS - 1u], 10);
}

static void isr_create_ext(void)
{
    OS_STK *stack = t_stack();

    isr_err = OSTaskCreateExt(nothing, (void *)0, &stack[T_STK_WORDS - 1u], 10, 1, stack,
                              T_STK_WORDS, (void *)0, OS_TASK_OPT_NONE);
}

TEST(task_create_errors)
{
    INT8U before = OSTaskCtr;

    t_task(30, nothing, (void *)0);
    CHECK_EQ(t_try_task(30, nothing, (void *)0), OS_ERR_PRIO_EXIST);
    CHECK_EQ(t_try_task(OS_LOWEST_PRIO + 1u, nothing, (void *)0), OS_ERR_PRIO_INVALID);
    CHECK_EQ(t_try_task(OS_LOWEST_PRIO, nothing, (void *)0), OS_ERR_PRIO_EXIST);
    plat_isr(isr_create);
    CHECK_EQ(isr_err, OS_ERR_TASK_CREATE_ISR);
    plat_isr(isr_create_ext);
    CHECK_EQ(isr_err, OS_ERR_TASK_CREATE_ISR);
    CHECK_EQ(OSTaskCtr, before + 1u);
}

TEST(task_create_until_no_tcb_is_left)
{
    INT8U err = OS_ERR_NONE;
    INT8U n = 0;

    while (n <= OS_MAX_TASKS && err == OS_ERR_NONE) {
        err = t_try_task((INT8U)(21u + n), sleep_long, (void *)0);
        n += err == OS_ERR_NONE;
    }
    CHECK_EQ(err, OS_ERR_TASK_NO_MORE_TCB);
    CHECK_EQ(n, OS_MAX_TASKS - 1u); /* the main task has one */
    CHECK_EQ(OSTaskCtr, OS_MAX_TASKS + OS_N_SYS_TASKS);
    CHECK_EQ(OSTaskDel(21), OS_ERR_NONE);
    /* The failure left its priority free and the freed TCB can be used for it. */
    CHECK_EQ(t_try_task((INT8U)(21u + n), sleep_long, 0), OS_ERR_NONE);
}

TEST(task_create_ext_keeps_all_arguments)
{
    OS_TCB copy;
    int extension = 0;
    OS_STK *stack = t_stack();

    CHECK_EQ(OSTaskCreateExt(sleep_long, (void *)0, &stack[T_STK_WORDS - 1u], 30, 1234, stack,
                             T_STK_WORDS, &extension, OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR),
             OS_ERR_NONE);
    CHECK_EQ(OSTaskQuery(30, &copy), OS_ERR_NONE);
    CHECK_EQ(copy.OSTCBPrio, 30);
    CHECK_EQ(copy.OSTCBId, 1234);
    CHECK_PTR(copy.OSTCBExtPtr, &extension);
    CHECK_PTR(copy.OSTCBStkBottom, stack);
    CHECK_EQ(copy.OSTCBStkSize, T_STK_WORDS);
    CHECK_EQ(copy.OSTCBOpt, OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR);
    CHECK_EQ(copy.OSTCBStat, OS_STAT_RDY);
    CHECK_EQ(copy.OSTCBDly, 0);
    CHECK(copy.OSTCBStkPtr > stack && copy.OSTCBStkPtr < &stack[T_STK_WORDS]);
}

TEST(task_create_ext_errors)
{
    OS_STK *stack = t_stack();
    OS_STK *top = &stack[T_STK_WORDS - 1u];

    CHECK_EQ(OSTaskCreateExt(nothing, (void *)0, top, T_MAIN_PRIO, 1, stack, T_STK_WORDS, (void *)0,
                             OS_TASK_OPT_NONE),
             OS_ERR_PRIO_EXIST);
    CHECK_EQ(OSTaskCreateExt(nothing, (void *)0, top, OS_LOWEST_PRIO + 1u, 1, stack, T_STK_WORDS,
                             (void *)0, OS_TASK_OPT_NONE),
             OS_ERR_PRIO_INVALID);
}

TEST(task_create_ext_clears_the_stack)
{
    OS_STK *stack = t_stack();

    for (INT32U i = 0; i < T_STK_WORDS; i++) {
        stack[i] = 0xa5a5a5a5u;
    }
    CHECK_EQ(OSTaskCreateExt(sleep_long, (void *)0, &stack[T_STK_WORDS - 1u], 30, 1, stack,
                             T_STK_WORDS, (void *)0, OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR),
             OS_ERR_NONE);
    CHECK_EQ(stack[0], 0);
    CHECK_EQ(stack[T_STK_WORDS / 2u], 0);
}

TEST(task_stk_chk)
{
    OS_STK_DATA data;
    OS_STK *stack = t_stack();

    CHECK_EQ(OSTaskCreateExt(sleep_long, (void *)0, &stack[T_STK_WORDS - 1u], 30, 1, stack,
                             T_STK_WORDS, (void *)0, OS_TASK_OPT_STK_CHK | OS_TASK_OPT_STK_CLR),
             OS_ERR_NONE);
    CHECK_EQ(OSTaskStkChk(30, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSFree + data.OSUsed, T_STK_WORDS * sizeof(OS_STK));
    CHECK(data.OSUsed >= 2u * sizeof(OS_STK)); /* at least two addresses of its first context */
    CHECK(data.OSFree >= T_STK_WORDS * sizeof(OS_STK) / 2u);
    stack[10] = 1; /* as if the task had once reached down to here */
    CHECK_EQ(OSTaskStkChk(30, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSFree, 10u * sizeof(OS_STK));
    CHECK_EQ(data.OSUsed, (T_STK_WORDS - 10u) * sizeof(OS_STK));
    stack[0] = 1;
    CHECK_EQ(OSTaskStkChk(30, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSFree, 0);
    CHECK_EQ(OSTaskStkChk(OS_LOWEST_PRIO, &data), OS_ERR_NONE);
    CHECK(data.OSUsed > 0u);
}

TEST(task_stk_chk_errors)
{
    OS_STK_DATA data = {1, 1};
    INT8U err;

    t_task(30, sleep_long, (void *)0); /* by OSTaskCreate(): nothing known of its stack's size */
    CHECK_EQ(OSTaskStkChk(30, &data), OS_ERR_TASK_OPT);
    CHECK_EQ(OSTaskStkChk(OS_PRIO_SELF, &data), OS_ERR_TASK_OPT);
    CHECK_EQ(OSTaskStkChk(31, &data), OS_ERR_TASK_NOT_EXIST);
    CHECK_EQ(OSTaskStkChk(OS_LOWEST_PRIO + 1u, &data), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskStkChk(30, (OS_STK_DATA *)0), OS_ERR_PDATA_NULL);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTaskStkChk(8, &data), OS_ERR_TASK_NOT_EXIST);
}

static void delete_self(void *p)
{
    (void)p;
    t_mark('s');
    (void)OSTaskDel(OS_PRIO_SELF);
    t_mark('!');
}

TEST(task_del_self)
{
    INT8U before = OSTaskCtr;

    t_task(10, delete_self, (void *)0);
    CHECK_MARKS("s");
    CHECK_EQ(OSTaskCtr, before);
    CHECK_EQ(OSTaskSuspend(10), OS_ERR_TASK_SUSPEND_PRIO);
    t_task(10, delete_self, (void *)0); /* priority and TCB are free again */
    CHECK_MARKS("s");
}

TEST(task_del_ready_and_delayed)
{
    t_task(30, sleep_long, (void *)0); /* never ran */
    CHECK_EQ(OSTaskDel(30), OS_ERR_NONE);
    t_task(10, sleep_long, (void *)0); /* sleeps now */
    CHECK_EQ(OSTaskDel(10), OS_ERR_NONE);
    OSTimeDly(1100);
    CHECK_MARKS("");
    CHECK_EQ(OSTaskDel(10), OS_ERR_TASK_NOT_EXIST);
}

TEST(task_del_while_it_waits)
{
    OS_SEM_DATA data;
    struct pender w = {OSSemCreate(0), 255};

    t_task(10, pend_sem, &w);
    CHECK_EQ(OSTaskDel(10), OS_ERR_NONE);
    CHECK_EQ(OSSemQuery(w.event, &data), OS_ERR_NONE);
    CHECK_EQ(data.OSEventGrp, 0);
    CHECK_EQ(OSSemPost(w.event), OS_ERR_NONE);
    CHECK_EQ(OSSemAccept(w.event), 1); /* the post went to nobody */
    CHECK_MARKS("");
}

static void pend_flag(void *p)
{
    INT8U err;

    (void)OSFlagPend(p, 1, OS_FLAG_WAIT_SET_ANY, 0, &err);
    t_mark('!');
}

TEST(task_del_while_it_waits_for_a_flag)
{
    INT8U err;
    OS_FLAG_GRP *grp = OSFlagCreate(0, &err);

    t_task(10, pend_flag, grp);
    t_task(11, pend_flag, grp);
    CHECK_EQ(OSTaskDel(10), OS_ERR_NONE);
    CHECK_EQ(OSTaskDel(11), OS_ERR_NONE);
    CHECK_PTR(grp->OSFlagWaitList, 0);
    CHECK_EQ(OSFlagPost(grp, 1, OS_FLAG_SET, &err), 1);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_MARKS("");
}

static void isr_del(void)
{
    isr_err = OSTaskDel(T_MAIN_PRIO);
}

TEST(task_del_errors)
{
    INT8U err;

    CHECK_EQ(OSTaskDel(OS_LOWEST_PRIO), OS_ERR_TASK_DEL_IDLE);
    CHECK_EQ(OSTaskDel(OS_LOWEST_PRIO + 1u), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskDel(33), OS_ERR_TASK_NOT_EXIST);
    plat_isr(isr_del);
    CHECK_EQ(isr_err, OS_ERR_TASK_DEL_ISR);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTaskDel(8), OS_ERR_TASK_DEL);
}

static void delete_on_request(void *p)
{
    (void)p;
    while (OSTaskDelReq(OS_PRIO_SELF) != OS_ERR_TASK_DEL_REQ) {
        t_mark('w');
        OSTimeDly(2);
    }
    t_mark('d');
}

TEST(task_del_req)
{
    t_task(10, delete_on_request, (void *)0);
    OSTimeDly(1);
    CHECK_EQ(OSTaskDelReq(10), OS_ERR_NONE);
    t_mark('r');
    CHECK_EQ(OSTaskDelReq(10), OS_ERR_NONE); /* still there */
    OSTimeDly(3);
    CHECK_MARKS("wrd");
    CHECK_EQ(OSTaskDelReq(10), OS_ERR_TASK_NOT_EXIST);
}

TEST(task_del_req_errors)
{
    INT8U err;

    CHECK_EQ(OSTaskDelReq(OS_PRIO_SELF), OS_ERR_NONE); /* nobody asked */
    CHECK_EQ(OSTaskDelReq(OS_LOWEST_PRIO), OS_ERR_TASK_DEL_IDLE);
    CHECK_EQ(OSTaskDelReq(OS_LOWEST_PRIO + 1u), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskDelReq(33), OS_ERR_TASK_NOT_EXIST);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTaskDelReq(8), OS_ERR_TASK_DEL);
}

static INT8U *isr_name;

static void isr_name_get(void)
{
    (void)OSTaskNameGet(T_MAIN_PRIO, &isr_name, &isr_err);
}

static void isr_name_set(void)
{
    OSTaskNameSet(T_MAIN_PRIO, isr_name, &isr_err);
}

TEST(task_names)
{
    INT8U err;
    INT8U *name;

    CHECK_EQ(OSTaskNameGet(OS_PRIO_SELF, &name, &err), 1);
    CHECK_STR(name, "?");
    OSTaskNameSet(OS_PRIO_SELF, (INT8U *)(unsigned long)"pump", &err);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_EQ(OSTaskNameGet(T_MAIN_PRIO, &name, &err), 4);
    CHECK_EQ(err, OS_ERR_NONE);
    CHECK_STR(name, "pump");
    isr_name = name;
    plat_isr(isr_name_get);
    CHECK_EQ(isr_err, OS_ERR_NAME_GET_ISR);
    plat_isr(isr_name_set);
    CHECK_EQ(isr_err, OS_ERR_NAME_SET_ISR);
    CHECK_EQ(OSTaskNameGet(33, &name, &err), 0);
    CHECK_EQ(err, OS_ERR_TASK_NOT_EXIST);
    CHECK_EQ(OSTaskNameGet(OS_LOWEST_PRIO + 1u, &name, &err), 0);
    CHECK_EQ(err, OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskNameGet(T_MAIN_PRIO, (INT8U **)0, &err), 0);
    CHECK_EQ(err, OS_ERR_PNAME_NULL);
    OSTaskNameSet(33, name, &err);
    CHECK_EQ(err, OS_ERR_TASK_NOT_EXIST);
    OSTaskNameSet(OS_LOWEST_PRIO + 1u, name, &err);
    CHECK_EQ(err, OS_ERR_PRIO_INVALID);
    OSTaskNameSet(T_MAIN_PRIO, (INT8U *)0, &err);
    CHECK_EQ(err, OS_ERR_PNAME_NULL);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTaskNameGet(8, &name, &err), 0);
    CHECK_EQ(err, OS_ERR_TASK_NOT_EXIST);
    OSTaskNameSet(8, isr_name, &err);
    CHECK_EQ(err, OS_ERR_TASK_NOT_EXIST);
}

TEST(task_query)
{
    OS_TCB copy;
    INT8U err;
    struct pender w = {OSSemCreate(0), 255};

    t_task(10, pend_sem, &w);
    CHECK_EQ(OSTaskQuery(10, &copy), OS_ERR_NONE);
    CHECK_EQ(copy.OSTCBStat, OS_STAT_SEM);
    CHECK_PTR(copy.OSTCBEventPtr, w.event);
    t_task(11, sleep_long, (void *)0);
    CHECK_EQ(OSTaskQuery(11, &copy), OS_ERR_NONE);
    CHECK_EQ(copy.OSTCBStat, OS_STAT_RDY);
    CHECK_EQ(copy.OSTCBDly, 1000);
    CHECK_EQ(OSTaskQuery(OS_PRIO_SELF, &copy), OS_ERR_NONE);
    CHECK_EQ(copy.OSTCBPrio, T_MAIN_PRIO);
    CHECK_EQ(OSTaskQuery(33, &copy), OS_ERR_PRIO);
    CHECK_EQ(OSTaskQuery(OS_LOWEST_PRIO + 1u, &copy), OS_ERR_PRIO_INVALID);
    CHECK_EQ(OSTaskQuery(10, (OS_TCB *)0), OS_ERR_PDATA_NULL);
    CHECK(OSMutexCreate(8, &err) != (OS_EVENT *)0);
    CHECK_EQ(OSTaskQuery(8, &copy), OS_ERR_TASK_NOT_EXIST);
}

const struct t_case task_cases[] = {
    CASE(task_create_runs_by_priority),
    RAW_CASE(task_create_before_start),
    CASE(task_create_errors),
    CASE(task_create_until_no_tcb_is_left),
    CASE(task_create_ext_keeps_all_arguments),
    CASE(task_create_ext_errors),
    CASE(task_create_ext_clears_the_stack),
    CASE(task_stk_chk),
    CASE(task_stk_chk_errors),
    CASE(task_del_self),
    CASE(task_del_ready_and_delayed),
    CASE(task_del_while_it_waits),
    CASE(task_del_while_it_waits_for_a_flag),
    CASE(task_del_errors),
    CASE(task_del_req),
    CASE(task_del_req_errors),
    CASE(task_names),
    CASE(task_query),
    CASES_END,
};
