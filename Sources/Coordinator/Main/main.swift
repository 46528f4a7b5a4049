import CoordinatorServe

CoordinatorProgram.main()
